"""`edgeinfer convert` before anything is converted: plans, steps by name, places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from converters.cli import _show, convert
from converters.data.dataset import DataRecord
from converters.pipeline import STEPS, Outcome
from converters.verify.figures import Figures
from converters.verify.paired import Paired
from edgeinfer.bundle import Proportion
from edgeinfer.errors import ConversionError, DataError, EdgeInferError
from edgeinfer.testing import write_sample_bundle

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


@pytest.mark.parametrize(
    ("kind", "what"), [("image", "9 test pictures"), ("audio", "9 test recordings"), ("table", "9 test rows")]
)
def test_what_is_shown_names_the_kind_of_items_and_takes_no_name_for_markup(tmp_path, capsys, kind, what):
    bundle = tmp_path / "[red].eib"
    bundle.write_bytes(b"x")
    data = DataRecord(("[/b]", ":cat:"), {"test": 9}, "0" * 64, 0, ())
    half = Proportion(0.5, 0.4, 0.6, 9, "test")
    figures = Figures(half, None, half, 3, Paired(9, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), 10.0, ())
    _show(Outcome(bundle, "0" * 64, tmp_path / "page.html", data, figures, kind))
    printed = capsys.readouterr().out
    assert "2 classes ([/b], :cat:)" in printed
    assert what in printed
    assert str(bundle) in printed
    assert ("PICTURE" in printed) == (kind == "image")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("work", "found the work folder"),
        ("file/a.eib", "file is a file"),
        ("locked/a.eib", "is not writable"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_output_that_cannot_be_written_is_told_before_anything_runs(
    tmp_path, monkeypatch, output, message, dry
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "locked").mkdir()
    # Root may write anywhere: what the system says of the folder is all that is looked at.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    with pytest.raises(ConversionError, match=message):
        told(RECIPE, "--work", tmp_path / "work", "-o", tmp_path / output, *dry)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_work_folder_that_is_a_file_is_told_before_anything_runs(tmp_path, dry):
    (tmp_path / "work").write_text("x")
    with pytest.raises(ConversionError, match=r"cannot use the work folder .*found a file; choose another"):
        told(RECIPE, "--work", tmp_path / "work", "-o", tmp_path / "a.eib", *dry)


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_file_that_is_no_bundle_is_not_written_over(tmp_path, dry):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.read_text())
    with pytest.raises(ConversionError, match="is there and would be lost"):
        told(recipe, "--work", tmp_path / "work", "-o", recipe, *dry)
    assert recipe.read_text() == RECIPE.read_text()
    assert "which is replaced" in told(
        recipe, "--work", tmp_path / "work", "-o", write_sample_bundle(tmp_path / "old.bundle"), "--dry-run"
    )


def test_a_dry_run_of_a_ready_model_finds_what_is_not_there(tmp_path):
    recipe = tmp_path / "ready.toml"
    recipe.write_text((RECIPE.parents[1] / "ready/classifier.toml").read_text())
    with pytest.raises(ConversionError, match=r"no model at .*tflite"):
        told(recipe, "-o", tmp_path / "a.eib", "--dry-run")
