from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters import load_recipe
from converters.progress import Quiet
from converters.steps import Context, Step, run_steps
from edgeinfer.errors import ConversionError

RECIPE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")


class Counted:
    """Two steps that count how often they ran."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.steps = [
            Step("first", (), ("a.txt",), lambda recipe: recipe.seed, self._first),
            Step("second", ("a.txt",), ("b.txt",), lambda recipe: recipe.top, self._second),
        ]

    def _first(self, context: Context) -> None:
        self.runs.append("first")
        context.give("a.txt").write_text(f"seed {context.recipe.seed}")

    def _second(self, context: Context) -> None:
        self.runs.append("second")
        context.give("b.txt").write_text(context.needs["a.txt"].read_text() + f" top {context.recipe.top}")

    def run(
        self,
        work: Path,
        tools: dict[str, str] | None = None,
        from_step: str | None = None,
        **changes: object,
    ) -> str:
        files = run_steps(self.steps, replace(RECIPE, **changes), work, Quiet(), tools or {}, from_step)
        return files["b.txt"].read_text()


def test_what_is_up_to_date_is_not_run_again(tmp_path):
    counted = Counted()
    assert [counted.run(tmp_path) for _ in range(3)] == ["seed 0 top 3"] * 3
    assert counted.runs == ["first", "second"]


def test_a_step_runs_again_when_its_part_of_the_recipe_or_a_tool_changes(tmp_path):
    counted = Counted()
    counted.run(tmp_path)
    assert counted.run(tmp_path, top=5) == "seed 0 top 5"
    assert counted.runs == ["first", "second", "second"]
    assert counted.run(tmp_path, top=5, seed=1) == "seed 1 top 5"
    assert counted.runs[3:] == ["first", "second"]
    counted.run(tmp_path, {"torch": "3"}, top=5, seed=1)
    assert counted.runs[5:] == ["first", "second"]


@pytest.mark.parametrize("harm", ["change", "remove", "no record"])
def test_a_harmed_artifact_is_made_again(tmp_path, harm):
    counted = Counted()
    counted.run(tmp_path)
    artifact = tmp_path / "first/a.txt"
    if harm == "change":
        artifact.write_text("other")
    elif harm == "remove":
        artifact.unlink()
    else:
        (tmp_path / "first/done.json").write_text("{")
    assert counted.run(tmp_path) == "seed 0 top 3"
    assert counted.runs == ["first", "second", "first"]


@pytest.mark.parametrize("harm", ["none", "change", "remove", "add"])
def test_a_folder_is_an_artifact_of_all_its_files(tmp_path, harm):
    runs = []

    def run(context: Context) -> None:
        runs.append(1)
        (context.give("models") / "deep").mkdir(parents=True)
        (context.give("models") / "deep/a.txt").write_text("a")

    steps = [Step("first", (), ("models",), lambda _: 0, run)]
    files = run_steps(steps, RECIPE, tmp_path, Quiet(), {})
    if harm == "change":
        (files["models"] / "deep/a.txt").write_text("b")
    elif harm == "remove":
        (files["models"] / "deep/a.txt").unlink()
    elif harm == "add":
        (files["models"] / "b.txt").write_text("b")
    run_steps(steps, RECIPE, tmp_path, Quiet(), {})
    assert len(runs) == (1 if harm == "none" else 2)
    assert [path.name for path in files["models"].rglob("*.txt")] == ["a.txt"]


@pytest.mark.parametrize(("name", "again"), [("first", ["first", "second"]), ("second", ["second"])])
def test_from_a_step_on_everything_is_done_again(tmp_path, name, again):
    counted = Counted()
    counted.run(tmp_path)
    (tmp_path / "second.running").mkdir()
    counted.run(tmp_path, from_step=name)
    assert counted.runs[2:] == again
    counted.run(tmp_path)
    assert counted.runs[2:] == again, "and then it is up to date"


def test_a_step_that_there_is_not_names_those_that_there_are(tmp_path):
    with pytest.raises(
        ConversionError, match=r"one of first, second, found 'secnd'; did you mean 'second'\?"
    ):
        Counted().run(tmp_path / "work", from_step="secnd")
    assert not (tmp_path / "work").exists(), "refused before anything is written"


def test_scratch_is_kept_for_the_same_key_and_dropped_for_another(tmp_path):
    seen = []

    def run(context: Context) -> None:
        seen.append((context.scratch / "checkpoint").exists())
        (context.scratch / "checkpoint").write_text("half way")
        if len(seen) < 3:
            raise OSError(28, "No space left on device")
        context.give("a.txt").write_text("whole")

    step = Step("only", (), ("a.txt",), lambda recipe: recipe.seed, run)
    for seed in (0, 0):
        with pytest.raises(ConversionError, match=r"step only failed .*No space left.*it resumes"):
            run_steps([step], replace(RECIPE, seed=seed), tmp_path, Quiet(), {})
    run_steps([step], replace(RECIPE, seed=1), tmp_path, Quiet(), {})
    assert seen == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "only").iterdir()) == ["a.txt", "done.json"]


def test_whatever_a_step_raises_names_the_step(tmp_path):
    def run(_: Context) -> None:
        raise RuntimeError("allocator\nfailed")

    for settings in (lambda recipe: recipe.seed, lambda _: {1, 2}):
        step = Step("only", (), ("a.txt",), settings, run)
        with pytest.raises(ConversionError, match="step only failed") as caught:
            run_steps([step], RECIPE, tmp_path, Quiet(), {})
        assert "\n" not in str(caught.value)


def test_a_step_that_gives_too_little_is_named(tmp_path):
    step = Step("only", (), ("a.txt",), lambda recipe: recipe.seed, lambda _: None)
    with pytest.raises(ConversionError, match=r"step only failed .*a\.txt"):
        run_steps([step], RECIPE, tmp_path, Quiet(), {})


def test_a_kill_between_the_record_and_the_rename_loses_nothing(tmp_path):
    counted = Counted()
    counted.run(tmp_path)
    (tmp_path / "second").rename(tmp_path / "second.running")
    (tmp_path / "second.running/key").write_text("left over")
    assert counted.run(tmp_path) == "seed 0 top 3"
    assert counted.runs == ["first", "second"]
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == ["b.txt", "done.json"]


def test_two_conversions_do_not_share_a_work_folder(tmp_path):
    def run(context: Context) -> None:
        with pytest.raises(ConversionError, match="another conversion works in"):
            run_steps([], RECIPE, tmp_path, Quiet(), {})
        context.give("a.txt").write_text("alone")

    run_steps([Step("only", (), ("a.txt",), lambda recipe: recipe.seed, run)], RECIPE, tmp_path, Quiet(), {})
    run_steps([], RECIPE, tmp_path, Quiet(), {})


def test_a_work_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="choose another: --work"):
        Counted().run(tmp_path / "file")
