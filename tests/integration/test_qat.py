"""A conversion that trains for int8: what ships is what was trained, also after a kill."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from stopping import Stopping

import edgeinfer as ei
from converters import convert, load_recipe
from converters.export.artifacts import MODELS, NAMED_MODELS, load_artifacts
from converters.quantize.trained import LEARNED, load_learned
from converters.recipe import ConvNetwork, Data, Gates, Qat, Quantize, Recipe, Student, Teacher, Training

ROOT = Path(__file__).parents[2]
TITLE = "training for int8"


def small() -> Recipe:
    """The demo's recipe, so short that it learns little, with all variants that suit its network."""
    recipe = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    return replace(
        recipe,
        data=Data("digits", limit_per_class=40),
        teacher=Teacher(network=ConvNetwork(8, (1, 1)), training=Training(2), views=2),
        student=Student(network=ConvNetwork(4, (1, 1)), training=Training(3)),
        quantize=Quantize(
            variants=("int8", "fp16"), qat=Qat(epochs=3), onnx_types=("U8S8",), sensitivity_items=20
        ),
        gates=Gates(max_int8_drop=1.0, min_parity=0.9, min_int8_parity=0.0, min_int8_agreement=0.0),
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("unbroken")
    convert(small(), folder / "digits.eib", folder / "work")
    return folder


def test_the_bundle_ships_the_trained_int8_files_beside_the_float_student(unbroken):
    artifacts = {each.id: each for each in load_artifacts(unbroken / "work/slim" / MODELS)}
    assert list(artifacts) == [
        "tflite-int8", "onnx-int8", "tflite-fp16", "onnx-fp16", "tflite-fp32", "onnx-fp32"
    ]  # fmt: skip
    assert {artifacts[name].method for name in ("tflite-int8", "onnx-int8")} == {"qat"}
    learned = load_learned(unbroken / "work/qat" / LEARNED)
    assert learned is not None
    assert {"input", "logits"} <= set(learned.ranges)
    with ei.load(unbroken / "digits.eib", measure=False) as model:
        assert model.selection.chosen.variant == "tflite-int8"
    for precision in ("int8", "fp16", "fp32"):
        with ei.load(unbroken / "digits.eib", precision=precision, measure=False) as model:
            assert model.selection.chosen.variant == f"tflite-{precision}"


def test_what_ships_is_smaller_than_what_is_debugged(unbroken):
    for artifact in load_artifacts(unbroken / "work/slim" / MODELS):
        named = unbroken / "work/quantize" / NAMED_MODELS / artifact.file
        shipped = unbroken / "work/slim" / MODELS / artifact.file
        assert shipped.stat().st_size < named.stat().st_size


def test_a_killed_training_for_int8_goes_on_to_the_same_files(tmp_path, unbroken):
    shutil.copytree(unbroken / "work", tmp_path / "work")
    shutil.rmtree(tmp_path / "work/qat")
    killed = Stopping(TITLE, 2)
    with pytest.raises(KeyboardInterrupt):
        convert(small(), tmp_path / "digits.eib", tmp_path / "work", killed)
    assert not (tmp_path / "digits.eib").exists()
    again = Stopping(TITLE, 0)
    convert(small(), tmp_path / "digits.eib", tmp_path / "work", again)
    assert again.resumed_at == 2
    for file in ("float.onnx", "float.tflite", "ranges.json"):
        paths = [folder / "work/qat" / LEARNED / file for folder in (unbroken, tmp_path)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), file
