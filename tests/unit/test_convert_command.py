"""`edgeinfer convert` before anything is converted: plans, steps by name, places."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from converters.cli import convert
from converters.pipeline import STEPS
from edgeinfer.errors import ConversionError, DataError, EdgeInferError

RECIPE = Path(__file__).parents[2] / "sample_apps/digits/recipe.toml"


def told(*arguments: object) -> str:
    done = CliRunner().invoke(convert, [str(each) for each in arguments])
    if isinstance(done.exception, EdgeInferError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    printed = told(RECIPE, "--work", tmp_path / "work", "-o", tmp_path / "a.eib", "--dry-run")
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[: len(STEPS)]] == [step.name for step in STEPS]
    assert lines[0].split() == ["data", "runs", "unknown", "unknown", "not", "done", "yet"]
    assert lines[1].endswith("follows data")
    assert f"steps   {len(STEPS)} of {len(STEPS)} to run" in printed
    assert "time    unknown: no earlier run here to judge by" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_step_that_there_is_not_lists_those_that_there_are(tmp_path, dry):
    with pytest.raises(
        ConversionError, match=r"one of data, teacher, .* package, found 'quantise'; did you mean"
    ):
        told(RECIPE, "--work", tmp_path / "work", "--from-step", "quantise", *dry)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_finds_what_is_not_there(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.read_text().replace('source = "digits"', 'source = "folder"\npath = "nowhere"'))
    with pytest.raises(DataError, match="nothing there"):
        told(recipe, "--work", tmp_path / "work", "--dry-run")
    with pytest.raises(ConversionError, match="expected the name of a file, found a folder"):
        told(RECIPE, "-o", tmp_path, "--dry-run")


def test_a_ready_model_has_no_steps_to_begin_from(tmp_path):
    (tmp_path / "recipe.toml").write_text('[model]\npath = "model.onnx"\n')
    with pytest.raises(ConversionError, match=r"expected a recipe that trains, found 'draft'"):
        told(tmp_path / "recipe.toml", "--from-step", "draft")
