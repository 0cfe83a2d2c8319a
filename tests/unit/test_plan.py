"""Plans: what would run and why, at what cost, and that nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from converters import load_recipe
from converters.plan import Planned, plan_steps
from converters.progress import Quiet
from converters.records import changes, read_done, write_done
from converters.steps import Context, Step, depends_on, run_steps
from edgeinfer.errors import ConversionError

RECIPE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")
TOOLS = {"torch": "2"}


def make(name: str) -> Step:
    def run(context: Context) -> None:
        given = "".join(path.read_text() for path in context.needs.values())
        own = {"one": context.recipe.seed, "two": context.recipe.top}.get(name, 0)
        context.give(f"{name}.txt").write_text(f"{given} {own}")

    needs = {"one": (), "two": ("one.txt",), "three": ("two.txt",), "other": ()}[name]
    settings = {"one": lambda recipe: {"seed": recipe.seed}, "two": lambda recipe: {"top": recipe.top}}
    return Step(
        name, needs, (f"{name}.txt",), settings.get(name, lambda _: {}), run, units=lambda recipe: recipe.top
    )


STEPS = [make(name) for name in ("one", "two", "three", "other")]


def plan(work: Path, *, tools: dict[str, str] = TOOLS, from_step: str | None = None, **changes: object):
    before = state(work)
    planned = plan_steps(STEPS, replace(RECIPE, **changes), work, tools, from_step)
    assert state(work) == before, "nothing is written"
    return planned


def state(work: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [work, *work.rglob("*")] if path.exists()}


def reasons(planned: tuple[Planned, ...]) -> dict[str, str]:
    return {each.name: "; ".join(each.reasons) for each in planned if each.runs}


def run(work: Path, **changes: object) -> None:
    run_steps(STEPS, replace(RECIPE, **changes), work, Quiet(), TOOLS)


def test_in_a_fresh_folder_everything_runs_and_nothing_is_known_of_its_cost(tmp_path):
    planned = plan(tmp_path / "work")
    assert reasons(planned) == {
        "one": "not done yet",
        "two": "follows one",
        "three": "follows two",
        "other": "not done yet",
    }
    assert {(each.seconds, each.bytes, each.resumes) for each in planned} == {(None, None, False)}
    assert not (tmp_path / "work").exists()


def test_after_a_run_nothing_is_left_to_do(tmp_path):
    run(tmp_path)
    assert not reasons(plan(tmp_path))


def test_what_changed_is_named_and_what_follows_it(tmp_path):
    run(tmp_path)
    assert reasons(plan(tmp_path, seed=7)) == {
        "one": "seed 0 -> 7",
        "two": "follows one",
        "three": "follows two",
    }
    assert reasons(plan(tmp_path, top=9)) == {"two": "top 3 -> 9", "three": "follows two"}
    told = reasons(plan(tmp_path, tools={"torch": "3", "onnx": "1"}))
    assert told["other"] == told["one"] == "onnx none -> 1; torch 2 -> 3"
    assert reasons(plan(tmp_path, from_step="three")) == {"three": "asked for", "other": "follows three"}
    (tmp_path / "two/two.txt").write_text("harmed")
    assert reasons(plan(tmp_path)) == {"two": "two.txt is damaged or missing", "three": "follows two"}


def test_the_plan_is_what_is_done(tmp_path):
    run(tmp_path)
    for changed in ({"seed": 7}, {"seed": 7, "top": 9}):
        planned = reasons(plan(tmp_path, **changed))
        before = state(tmp_path)
        run(tmp_path, **changed)
        after = state(tmp_path)
        done = {
            step.name
            for step in STEPS
            if before[str(tmp_path / step.name / "done.json")]
            != after[str(tmp_path / step.name / "done.json")]
        }
        assert done == set(planned)


def test_time_is_scaled_by_the_work_that_is_asked_for(tmp_path):
    run(tmp_path, top=4)
    done = read_done(tmp_path / "one")
    assert done is not None
    assert done.seconds is not None
    assert done.units == 4
    write_done(tmp_path / "one", replace(done, seconds=10.0))
    (one, *_) = plan(tmp_path, top=6, seed=1)
    assert one.seconds == 15.0
    assert one.bytes == sum(path.stat().st_size for path in (tmp_path / "one").iterdir())


def test_an_interrupted_step_goes_on_and_its_time_is_not_taken_for_a_whole_one_s(tmp_path):
    key = depends_on(STEPS[0], RECIPE, {}, TOOLS).key()
    (tmp_path / "one.running").mkdir()
    (tmp_path / "one.running/key").write_text(key)
    assert [each.resumes for each in plan(tmp_path)] == [True, False, False, False]
    assert not plan(tmp_path, seed=3)[0].resumes, "what was left is of another recipe"
    run(tmp_path)
    done = read_done(tmp_path / "one")
    assert done is not None
    assert done.seconds is None
    assert plan(tmp_path)[0].seconds is None


def test_a_step_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="one of one, two, three, other"):
        plan(tmp_path, from_step="four")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": 3, "artifacts": {}}', "\x00"])
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path, content):
    run(tmp_path)
    (tmp_path / "one/done.json").write_text(content)
    assert reasons(plan(tmp_path))["one"] == "not done yet"


def test_long_values_are_cut_and_inner_places_named():
    settings = [replace(RECIPE, intended_use="x" * 99), RECIPE]
    step = Step("s", (), (), lambda recipe: {"a": {"use": recipe.intended_use}}, lambda _: None)
    (told,) = changes(*(depends_on(step, recipe, {}, {}) for recipe in settings))
    assert told.startswith('a.use "xxx')
    assert len(told) < 100
    assert json.dumps("x" * 99) not in told


def test_what_a_step_fitted_is_known_to_the_plan_of_those_after_it(tmp_path):
    def refine(recipe, have):
        return replace(recipe, top=int(have["one.txt"].read_text().split()[0]) + 7)

    first, second, *_ = STEPS
    steps = [replace(first, refine=refine), replace(second, settings=lambda recipe: {"top": recipe.top})]
    run_steps(steps, RECIPE, tmp_path / "work", Quiet(), TOOLS)
    assert not any(each.runs for each in plan_steps(steps, RECIPE, tmp_path / "work", TOOLS))
