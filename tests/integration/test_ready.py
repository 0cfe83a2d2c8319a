"""Small foreign models, through the whole conversion and the runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from PIL import Image
from ready_models import classifier, detector, saved

import edgeinfer as ei
from converters import convert_ready
from converters.cli import convert as command
from converters.progress import Quiet
from converters.ready import Detections, ModelFile, ReadyInput, ReadyOutput, ReadyQuantize, ReadyRecipe
from converters.ready.proof import outputs_of
from edgeinfer.errors import ConversionError, DataError, GateError

LABELS = ("ant", "bee", "cat", "dog")
IMAGE = ReadyInput("RGB", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def noise(folder: Path, count: int, size: tuple[int, int] = (8, 8), seed: int = 0) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for at in range(count):
        low = generator.integers(0, 200)
        pixels = generator.integers(low, low + 56, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03}.png")
    return folder


@pytest.fixture
def recipe(tmp_path) -> ReadyRecipe:
    """A classifier with the faults of real files, and what goes with it."""
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("conv.weight", 1, None))
    saved(model, tmp_path / "net.onnx")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    noise(tmp_path / "pictures", 30)
    return ReadyRecipe(
        name="net",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        model=ModelFile("net.onnx"),
        input=IMAGE,
        output=ReadyOutput("logits", "labels.txt", top=2),
        quantize=ReadyQuantize("pictures", min_agreement=0.5),
        folder=str(tmp_path),
    )


def made(recipe: ReadyRecipe, tmp_path: Path):
    return convert_ready(recipe, tmp_path / "out" / "net.eib", tmp_path / "work")


def test_a_ready_classifier_becomes_a_verified_bundle(recipe, tmp_path):
    outcome = made(recipe, tmp_path)
    assert [each.id for each in outcome.figures] == ["onnx-int8", "onnx-fp32"]
    picture = tmp_path / "pictures/000.png"
    pixels = np.asarray(Image.open(picture), np.float32)
    fed = ((pixels / 255 - 0.5) / 0.25).transpose(2, 0, 1)[None]
    wanted = outputs_of(onnx.load(tmp_path / "net.onnx"), fed)["logits"][0]
    with ei.load(outcome.bundle, variant="onnx-fp32") as model:
        prediction = model.predict(picture)
        np.testing.assert_allclose(prediction.outputs["logits"][0], wanted, rtol=1e-4, atol=1e-5)
        assert prediction.label == LABELS[int(wanted.argmax())]
        assert len(prediction.top) == 2
        assert model.run({"image": np.zeros((5, 3, 8, 8), np.float32)})["logits"].shape == (5, 4)
        manifest = model.manifest
    assert manifest.task == "image-classification"
    assert manifest.lineage.splits == {"calibration": 24, "check": 6}
    assert all(each.latency and each.golden_outputs for each in manifest.variants)
    assert manifest.golden.sources["image"]
    assert {path.name for path in outcome.bundle.parent.iterdir()} == {
        "net.eib",
        "net.report.md",
        "net.report.json",
    }
    assert "took 1 weights out of the inputs" in outcome.report.read_text()
    assert not (tmp_path / "work/ready.running").exists()


def test_the_same_recipe_gives_the_same_files(recipe, tmp_path):
    def digests(outcome):
        with ei.open_bundle(outcome.bundle) as bundle:
            return [
                (each.id, each.blob.sha256, each.golden_outputs["logits"].blob.sha256)
                for each in bundle.manifest.variants
            ]

    first, second = (digests(made(recipe, folder)) for folder in (tmp_path / "a", tmp_path / "b"))
    assert first == second


def test_a_ready_detector_finds_the_bright_cells(tmp_path):
    saved(detector(), tmp_path / "cells.onnx")
    recipe = ReadyRecipe(
        name="cells",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        model=ModelFile("cells.onnx"),
        input=ReadyInput("RGB", resize="letterbox", filter="box", mean=(0.5,) * 3),
        output=ReadyOutput("detections"),
        detections=Detections(least=0.9, iou=0.5, background=0),
        folder=str(tmp_path),
    )
    outcome = made(recipe, tmp_path)
    picture = np.zeros((80, 160, 3), np.uint8)
    picture[40:80, 80:120] = 255
    with ei.load(outcome.bundle) as model:
        assert model.manifest.task == "object-detection"
        (found,) = model.predict(picture).detections
    # Cells are 40 x 40 pixels of the picture, which fills the middle half of the input.
    assert found.box == pytest.approx((80, 40, 120, 80))
    assert (found.label, found.index) == ("1", 1)


def test_a_model_of_tensors_needs_no_pictures(recipe, tmp_path):
    folder = tmp_path / "tensors"
    folder.mkdir()
    for at in range(10):
        np.save(folder / f"{at}.npy", np.random.default_rng(at).normal(size=(3, 8, 8)).astype(np.float32))
    given = replace(
        recipe,
        input=None,
        output=ReadyOutput("values"),
        quantize=ReadyQuantize("tensors", min_agreement=0.9),
    )
    outcome = made(given, tmp_path)
    with ei.load(outcome.bundle) as model:
        prediction = model.predict(np.ones((3, 8, 8), np.float32))
        assert prediction.outputs["logits"].shape == (1, 4)
        assert (prediction.label, prediction.detections) == (None, None)


def channels_last(dtype: int) -> onnx.ModelProto:
    """The classifier with channels last, and for uint8 with a cast in front."""
    model = classifier()
    graph = model.graph
    graph.node[0].input[0] = "first"
    graph.node.insert(0, helper.make_node("Transpose", ["real"], ["first"], perm=[0, 3, 1, 2]))
    graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["real"], to=1))
    graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", dtype, [1, 8, 8, 3]))
    return model


@pytest.mark.parametrize("dtype", [onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8])
def test_pictures_with_channels_last_and_of_bytes_are_taken(recipe, tmp_path, dtype):
    model = saved(channels_last(dtype), tmp_path / "net.onnx")
    given = replace(recipe, input=ReadyInput("RGB", scale=1.0), quantize=None)
    outcome = made(given, tmp_path)
    picture = tmp_path / "pictures/001.png"
    fed = np.asarray(Image.open(picture))[None].astype(helper.tensor_dtype_to_np_dtype(dtype))
    wanted = outputs_of(onnx.load(model), fed)["logits"]
    with ei.load(outcome.bundle) as loaded:
        assert loaded.manifest.inputs[0].shape == ("batch", 8, 8, 3)
        np.testing.assert_allclose(loaded.predict(picture).outputs["logits"], wanted, rtol=1e-4, atol=1e-4)


def test_a_layer_can_stay_in_float(recipe, tmp_path):
    given = replace(recipe, quantize=replace(recipe.quantize, float_layers=("Conv_0",)))
    outcome = made(given, tmp_path)
    assert [each.id for each in outcome.figures] == ["onnx-mixed", "onnx-fp32"]
    with pytest.raises(ConversionError, match=r"nodes that are no layers.*expected names such as Conv_0"):
        made(replace(given, quantize=replace(given.quantize, float_layers=("Conv_7",))), tmp_path)


def test_a_calibration_folder_that_matches_nothing_says_what_it_holds(recipe, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("none")
    for name, message in (
        ("empty", "matches nothing: expected inputs .* found 1 files, none that ends in .png"),
        ("nowhere", "is no folder: found nothing; name a folder, relative to the recipe"),
        ("net.onnx", "is no folder: found a file"),
    ):
        with pytest.raises(DataError, match=message):
            made(replace(recipe, quantize=ReadyQuantize(name)), tmp_path)
    noise(tmp_path / "few", 3)
    with pytest.raises(DataError, match=r"too few .* expected 5 or more, found 3; add some"):
        made(replace(recipe, quantize=ReadyQuantize("few")), tmp_path)
    assert not (tmp_path / "out").exists()


def test_damaged_calibration_pictures_are_counted_and_named(recipe, tmp_path):
    (tmp_path / "pictures/003.png").write_bytes(b"no picture")
    # What systems put beside the user's own is no item, readable or not.
    (tmp_path / "pictures/._004.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 30 items cannot be read: 003.png"):
        made(recipe, tmp_path)


def test_a_few_damaged_calibration_pictures_are_left_out_and_named(recipe, tmp_path):
    notes = []

    class Heard(Quiet):
        def note(self, text: str) -> None:
            notes.append(text)

    (noise(tmp_path / "many", 100) / "007.png").write_bytes(b"no picture")
    many = replace(recipe, quantize=ReadyQuantize("many", min_agreement=0.5))
    convert_ready(many, tmp_path / "out/net.eib", tmp_path / "work", Heard())
    assert notes == ["1 of 100 items under quantize.calibration cannot be read and are left out: 007.png"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"ant\nbee\n", "does not fit output logits: expected 4, .* found 2 labels; one class a line"),
        (b"\xff\xfe\x00", "cannot read the labels"),
        (None, "cannot read the labels"),
    ],
)
def test_a_label_file_that_does_not_fit_is_refused(recipe, tmp_path, labels, message):
    (tmp_path / "labels.txt").unlink()
    if labels is not None:
        (tmp_path / "labels.txt").write_bytes(labels)
    with pytest.raises(DataError, match=message) as caught:
        made(recipe, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"input": replace(IMAGE, color="L", mean=(), std=())},
            r"input pixels does not fit the preprocessing: expected L: .*found float32 \(batch, 3, 8, 8\)",
        ),
        ({"input": replace(IMAGE, height=9)}, "input.height is not the model's: expected 8, found 9"),
        (
            {"output": ReadyOutput("logits", names=("a", "b"))},
            "expected 1, one for each output, found 2 names",
        ),
        ({"model": ModelFile("net.onnx", ("b",))}, r"output b is no classification.*found \[6, 8, 8\]"),
        ({"model": ModelFile("none.onnx")}, "cannot read the model"),
        (
            {"output": ReadyOutput("probabilities")},
            "logits of net.onnx holds no probabilities: expected 0 to 1",
        ),
        ({"version": "1\n2"}, "recipe.version: expected 1 to 100 printable characters"),
        (
            {"output": ReadyOutput("detections"), "detections": Detections(0.5, 0.5)},
            "the outputs are no scores and boxes: .* found logits",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused_in_one_line(recipe, tmp_path, change, message):
    with pytest.raises(ConversionError, match=message) as caught:
        made(replace(recipe, **change), tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.next_step


def test_calibrating_with_other_pictures_than_it_meets_is_caught_by_the_gate(recipe, tmp_path):
    """Ranges of nearly black pictures, checked with bright ones: everything saturates."""
    (tmp_path / "dark").mkdir()
    for at in range(10):
        Image.fromarray(np.full((8, 8, 3), at % 2, np.uint8)).save(tmp_path / f"dark/{at}.png")
    given = ReadyQuantize("dark", check="pictures", min_agreement=0.98)
    with pytest.raises(GateError, match=r"onnx-int8 does not answer as its float form does.*calibrate with"):
        made(replace(recipe, quantize=given, output=ReadyOutput("values")), tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_check_in_which_nothing_is_found_proves_nothing(tmp_path, recipe):
    saved(detector(), tmp_path / "cells.onnx")
    given = replace(
        recipe,
        model=ModelFile("cells.onnx"),
        input=ReadyInput("RGB"),
        output=ReadyOutput("detections"),
        detections=Detections(least=1.0, iou=0.5, background=0),
    )
    with pytest.raises(DataError, match=r"found 6 pictures, 0 things"):
        made(given, tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_a_tflite_file_that_is_cut_short_is_refused_in_one_line(recipe, tmp_path, shared, share):
    data = (shared / "models/third-party/mobilenet_v1_0.25_128_quant.tflite").read_bytes()
    (tmp_path / "net.tflite").write_bytes(data[: int(len(data) * share)])
    given = replace(recipe, model=ModelFile("net.tflite"), quantize=None)
    with pytest.raises(ConversionError, match=r"net.tflite cannot be loaded") as caught:
        made(given, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_twin_that_is_another_model_is_noticed(recipe, tmp_path, shared):
    given = replace(
        recipe,
        model=ModelFile(str(shared / "models/third-party/face-rfb-320.onnx")),
        # Boxes decoded by one file and not by the other.
        twin=ModelFile(str(shared / "models/third-party/face-rfb-320.tflite"), ("Identity_1", "Identity")),
        output=ReadyOutput("values"),
        quantize=None,
    )
    with pytest.raises(ConversionError, match="model and twin give other values for output boxes"):
        made(given, tmp_path)


def test_an_already_quantized_model_is_not_quantized_again(recipe, tmp_path, shared):
    given = replace(
        recipe,
        model=ModelFile(str(shared / "models/third-party/mobilenet_v1_0.25_128_quant.tflite")),
        output=ReadyOutput("probabilities"),
    )
    with pytest.raises(ConversionError, match=r"nothing to quantize.*leave out .quantize."):
        made(given, tmp_path)


def test_the_command_takes_a_ready_recipe(recipe, tmp_path):
    (tmp_path / "net.toml").write_text(
        f"""
        name = "net"
        version = "1"
        licence = "CC0-1.0"
        intended_use = "Tests."
        [model]
        path = "net.onnx"
        [input]
        color = "{recipe.input.color}"
        [output]
        answer = "logits"
        labels = "labels.txt"
        """
    )
    arguments = [tmp_path / "net.toml", "-o", tmp_path / "n.eib", "--work", tmp_path / "w"]
    result = CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    assert "batch of 1 made free through its reshapes" in result.output
    assert "edgeinfer predict" in result.output
    with ei.load(tmp_path / "n.eib") as model:
        assert model.labels == LABELS
