"""Faults that ship unnoticed elsewhere, planted where they happen in life: each makes the right gate fail.

A small network learns six colours in seconds; every step is the real one. A fault is planted by doing
something to what one step gives, or to what it is given, and the run goes on from there. The same
network without the fault passes every gate.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

from converters.data.splits import SPLITS
from converters.distill.student import load_student
from converters.export.artifacts import MODELS
from converters.export.float_models import export_tflite
from converters.pipeline import STEPS
from converters.progress import Quiet
from converters.quiet import logged
from converters.recipe import (
    ConvNetwork,
    Data,
    Gates,
    ImageInput,
    Quantize,
    Recipe,
    Student,
    Teacher,
    Training,
)
from converters.steps import Context, Step, run_steps
from converters.tools import tool_versions
from converters.verify.figures import load_figures
from converters.verify.gate import judge
from edgeinfer.bundle import BlobSet, open_bundle, write_bundle
from edgeinfer.errors import ConversionError, GateError

COLOURS = {
    "blue": (40, 60, 190),
    "cyan": (50, 170, 180),
    "green": (60, 180, 50),
    "magenta": (180, 50, 170),
    "red": (190, 50, 40),
    "yellow": (180, 170, 50),
}
SIDE, EACH = 12, 60
JUDGED = STEPS[: [step.name for step in STEPS].index("gate") + 1]
BOTH = {"onnx-int8", "tflite-int8"}
FLOATS = {"onnx-fp32", "tflite-fp32"}


@dataclass(frozen=True)
class Missed:
    """What the gate step said.

    Attributes:
        message: The error.
        first: Step, gate and subject that it names.
        subjects: By missed gate.
    """

    message: str
    first: tuple[str, str, str]
    subjects: dict[str, set[str]]

    @property
    def blamed(self) -> set[str]:
        return set.union(*self.subjects.values())


def recipe(folder: Path) -> Recipe:
    network = ConvNetwork(8, (1, 1))
    training = Training(12, batch_size=32, learning_rate=0.01)
    return Recipe(
        name="colours",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        data=Data("folder", path="pictures", validation=0.2, test=0.5),
        input=ImageInput(SIDE, SIDE, "RGB", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        teacher=Teacher(network=network, training=training),
        student=Student(training=training, network=network),
        quantize=Quantize(calibration_items=64, onnx_types=("U8S8",)),
        gates=Gates(min_accuracy=0.9, min_int8_parity=0.95, min_int8_agreement=0.98, max_int8_drop=0.03),
        folder=str(folder),
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Pictures, and a work folder in which the conversion without a fault passed every gate."""
    folder = tmp_path_factory.mktemp("sound")
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / "pictures" / name).mkdir(parents=True)
        for at in range(EACH):
            pixels = np.array(colour) + generator.normal(0, 25, 3) + generator.normal(0, 25, (SIDE, SIDE, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / "pictures" / name / f"{at}.png")
    run(folder, JUDGED)
    return folder


def at(name: str) -> int:
    return [step.name for step in JUDGED].index(name)


def run(folder: Path, steps: tuple[Step, ...], *, per_channel: bool = True) -> None:
    made = recipe(folder)
    made = replace(made, quantize=replace(made.quantize, per_channel=per_channel))
    run_steps(steps, made, folder / "work", Quiet(), tool_versions())


def planted(sound: Path, folder: Path, name: str, **harm: Callable[[Context], Any]) -> Missed:
    """Go on from a harmed step, as `go_on` does, until the gate fails."""
    with pytest.raises(GateError) as caught:
        go_on(sound, folder, name, **harm)
    return missed(folder, str(caught.value))


def go_on(
    sound: Path,
    folder: Path,
    name: str,
    *,
    before: Callable[[Context], Context] | None = None,
    after: Callable[[Context], None] | None = None,
) -> None:
    """Go on from a step whose needs (`before`) or gifts (`after`) are harmed."""
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    place = at(name)
    for step in JUDGED[place:]:
        shutil.rmtree(folder / "work" / step.name)

    def harmed(context: Context) -> None:
        if before:
            JUDGED[place].run(before(context))
        else:
            given(sound, JUDGED[place])(context)
        if after:
            after(context)

    steps = tuple(replace(step, run=harmed) if step.name == name else step for step in JUDGED)
    run(folder, untimed(steps, sound))


def given(sound: Path, step: Step) -> Callable[[Context], None]:
    """What the sound run's step gave, without doing it again."""

    def copy(context: Context) -> None:
        shutil.copytree(sound / "work" / step.name, context.scratch, dirs_exist_ok=True)

    return copy


def untimed(steps: tuple[Step, ...], sound: Path) -> tuple[Step, ...]:
    """The same without measuring times, which are not at issue."""
    return tuple(replace(step, run=given(sound, step)) if step.name == "measure" else step for step in steps)


def missed(folder: Path, message: str) -> Missed:
    verdicts = judge(load_figures(folder / "work/verify/figures.json"), recipe(folder).gates)
    failed = [each for each in verdicts if not each.passed]
    first = (failed[0].step, failed[0].gate, failed[0].subject)
    assert message.startswith("step {}: {} of {} missed".format(*first))
    subjects = {
        gate: {each.subject for each in failed if each.gate == gate} for gate in (f.gate for f in failed)
    }
    return Missed(message, first, subjects)


def edit_onnx(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def another_mean(model: onnx.ModelProto) -> None:
    """The file takes pictures normalised with mean 0 where the manifest says 0.5."""
    graph = model.graph
    name = graph.input[0].name
    for node in graph.node:
        for at, given in enumerate(node.input):
            if given == name:
                node.input[at] = "shifted"
    wrong = numpy_helper.from_array(np.full((1, 3, 1, 1), 0.5 / 0.25, np.float32), "wrong_mean")
    graph.initializer.append(wrong)
    graph.node.insert(0, onnx.helper.make_node("Add", [name, "wrong_mean"], ["shifted"]))


def swapped_channels(model: onnx.ModelProto) -> None:
    """The file takes BGR: its first convolution's weights, float or int8, with red and blue exchanged."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4 and values.shape[1] == 3:
            tensor.CopyFrom(numpy_helper.from_array(values[:, ::-1].copy(), tensor.name))
            return
    raise AssertionError("no first convolution")


def in_file(name: str, change: Callable[[onnx.ModelProto], None]) -> Callable[[Context], None]:
    return lambda context: edit_onnx(context.give(MODELS) / name, change)


def test_without_a_fault_every_gate_passes(sound):
    verdicts = json.loads((sound / "work/gate/verdicts.json").read_text())["verdicts"]
    assert {each["gate"] for each in verdicts} >= {
        "max_fp32_error",
        "min_parity",
        "min_int8_parity",
        "min_int8_agreement",
        "max_int8_drop",
        "min_accuracy",
    }
    assert all(each["passed"] for each in verdicts)


@pytest.mark.parametrize("change", [another_mean, swapped_channels])
def test_wrong_preprocessing_in_one_float_file(sound, tmp_path, change):
    found = planted(sound, tmp_path, "slim", after=in_file("fp32.onnx", change))
    assert found.first == ("export", "max_fp32_error", "onnx-fp32")
    assert "min_parity" in found.subjects
    assert found.blamed == {"onnx-fp32"}


@pytest.mark.parametrize("change", [another_mean, swapped_channels])
def test_wrong_preprocessing_in_one_int8_file(sound, tmp_path, change):
    found = planted(sound, tmp_path, "slim", after=in_file("int8.onnx", change))
    assert found.first == ("quantize", "min_int8_parity", "onnx-int8")
    assert found.subjects["max_int8_drop"] == {"onnx-int8"}
    assert found.subjects["min_int8_agreement"] == {"onnx-int8 and tflite-int8"}
    assert not found.blamed & {"tflite-int8", *FLOATS}


def test_swapped_colours_in_one_tflite_file(sound, tmp_path):
    class Swapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.module(x.flip(1))

    def export_again(context: Context) -> None:
        made = load_student(recipe(sound), len(COLOURS), sound / "work/student/student.pt")
        with logged(tmp_path / "export.log"):
            export_tflite(Swapped(made), (3, SIDE, SIDE), context.give(MODELS) / "fp32.tflite")

    found = planted(sound, tmp_path, "slim", after=export_again)
    assert found.first == ("export", "max_fp32_error", "tflite-fp32")
    assert found.blamed == {"tflite-fp32"}


@pytest.mark.parametrize(
    ("what", "gate"),
    [("black", "min_int8_parity"), ("dark noise", "min_int8_parity"), ("noise", "max_int8_drop")],
)
def test_a_calibration_set_that_is_not_the_data(sound, tmp_path, what, gate):
    """The ranges come from pictures that all are black, sensor noise with the lid on, or noise in all colours."""

    def other_pictures(context: Context) -> Context:
        pixels = np.load(context.needs["items.npy"])
        brightest = {"black": 1, "dark noise": 8, "noise": 256}[what]
        other = np.random.default_rng(0).integers(0, brightest, pixels.shape, np.uint16)
        np.save(tmp_path / "other.npy", other.astype(np.uint8))
        return replace(context, needs={**context.needs, "items.npy": tmp_path / "other.npy"})

    found = planted(sound, tmp_path, "quantize", before=other_pictures)
    assert found.first[:2] == ("quantize", gate)
    assert found.subjects["max_int8_drop"] == found.subjects[gate] == BOTH
    assert "change quantize.calibration_items" in found.message
    assert not found.blamed & FLOATS


def outlier_channel(context: Context) -> None:
    """One channel of the last convolution is dead, and its weights are 300 times the others'.

    Folding a batch norm whose channel hardly varies makes such weights; the answers do not change
    by their size, because the channel's ReLU never opens.
    """
    path = context.give("student.pt")
    saved = torch.load(path, weights_only=True)
    state = saved["weights"]
    norm = [name.removesuffix("running_var") for name in state if name.endswith("running_var")][-1]
    state[f"{norm}weight"][0] = 300 * state[f"{norm}weight"].abs().max()
    state[f"{norm}bias"][0] = -1e5
    torch.save(saved, path)


def test_per_tensor_quantization_of_a_layer_with_an_outlier_channel(sound, tmp_path):
    """The network passes per channel; with one scale a layer it does not, and without the outlier it does."""
    shutil.copytree(sound, tmp_path / "tame")
    run(tmp_path / "tame", untimed(JUDGED, sound), per_channel=False)

    def student(context: Context) -> None:
        given(sound, JUDGED[at("student")])(context)
        outlier_channel(context)

    shutil.copytree(sound, tmp_path / "wild")
    for step in JUDGED[at("student") :]:
        shutil.rmtree(tmp_path / "wild/work" / step.name)
    steps = tuple(replace(step, run=student) if step.name == "student" else step for step in JUDGED)
    steps = untimed(steps, sound)
    run(tmp_path / "wild", steps)
    with pytest.raises(GateError) as caught:
        run(tmp_path / "wild", steps, per_channel=False)
    found = missed(tmp_path / "wild", str(caught.value))
    assert found.first[:2] == ("quantize", "min_int8_parity")
    assert found.subjects["max_int8_drop"] == BOTH
    assert "quantize.per_channel" in found.message
    assert not found.blamed & FLOATS


def test_labels_shifted_by_one_in_the_bundle(sound, tmp_path):
    """A list that lacks its first line: the files are right, and the app would show the neighbour's name."""

    def shift(context: Context) -> None:
        path, blobs = context.give("draft.eib"), BlobSet()
        with open_bundle(path) as bundle:
            manifest = bundle.manifest
            for each in manifest.variants:
                blobs.add(bundle.read(each.blob))
        (output,) = manifest.outputs
        labels = output.labels or ()
        shifted = replace(output, labels=(*labels[1:], labels[0]))
        write_bundle(path, replace(manifest, outputs=(shifted,)), blobs)

    found = planted(sound, tmp_path, "draft", after=shift)
    assert found.subjects["min_parity"] == FLOATS
    assert found.subjects["min_int8_parity"] == BOTH
    assert found.subjects["min_accuracy"] == {*BOTH, *FLOATS}
    assert "change the order of the classes: what it calls 'cyan' is 'blue'" in found.message


def test_labels_shifted_by_one_in_the_test_data(sound, tmp_path):
    """Every model agrees with every other, so that the only gate to fail is accuracy: the data are wrong."""

    def shift(context: Context) -> Context:
        with np.load(context.needs["splits.npz"]) as arrays:
            kept = dict(arrays)
        test = kept["split"] == SPLITS.index("test")
        kept["label"] = np.where(test, (kept["label"] + 1) % len(COLOURS), kept["label"])
        np.savez(tmp_path / "splits.npz", **kept)
        return replace(context, needs={**context.needs, "splits.npz": tmp_path / "splits.npz"})

    found = planted(sound, tmp_path, "test", before=shift)
    assert found.subjects == {"min_accuracy": {*BOTH, *FLOATS}}
    assert found.first[0] == "teacher"
    assert "'blue' is 'cyan', 'cyan' is 'green'" in found.message


class Rolled(torch.nn.Module):
    """A teacher that counts its classes from one."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x).roll(1, 1)


def test_labels_shifted_by_one_in_the_teacher(sound, tmp_path):
    """Told before a student learns from it."""

    def roll(context: Context) -> Context:
        with zipfile.ZipFile(context.needs["teachers.zip"]) as archive:
            module = torch.export.load(io.BytesIO(archive.read("0.pt2"))).module()
        batch, example = torch.export.Dim("batch", min=1, max=4096), torch.zeros(2, 3, SIDE, SIDE)
        torch.export.save(
            torch.export.export(Rolled(module), (example,), dynamic_shapes=({0: batch},)), tmp_path / "0.pt2"
        )
        with zipfile.ZipFile(tmp_path / "teachers.zip", "w") as archive:
            archive.write(tmp_path / "0.pt2", "0.pt2")
        return replace(context, needs={**context.needs, "teachers.zip": tmp_path / "teachers.zip"})

    with pytest.raises(ConversionError) as caught:
        go_on(sound, tmp_path / "planted", "answers", before=roll)
    assert "the teacher's classes are the data's in another order: expected the order blue, cyan" in str(
        caught.value
    )
    assert "what it calls 'cyan' is 'blue'" in str(caught.value)
    assert not (tmp_path / "planted/work/answers").exists()
