"""The qat step: the student goes on learning as its int8 files will compute, and says with which ranges.

It gives the float network of the trained weights in both formats, and the learned range of each of the
ONNX graph's tensors; the quantize step injects them. Without `[quantize.qat]` it gives an empty folder.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from converters.data.dataset import load_record, load_split
from converters.data.stored_items import validation_items
from converters.distill.answers import VIEWS, load_views, training_views
from converters.distill.losses import distillation_loss
from converters.distill.student import load_student
from converters.distill.training import Course, Epoch, load_history, save_history, train
from converters.export.float_models import export_onnx, export_tflite
from converters.export.penultimate import WithPenultimate
from converters.quantize.float_pair import FloatPair, calibrated
from converters.quantize.qat import QatNetwork, activations, named_as
from converters.quantize.ranges import Items, OnnxActivations, Ranges
from converters.quiet import told
from converters.recipe import Qat, Recipe, Training
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError
from edgeinfer.preprocess import Preprocessor

LEARNED = "qat"
_RANGES, _HISTORY = "ranges.json", "history.json"
# Inputs whose values tell which tensor of the exported graph is which of the network.
_PROBES = 4


@dataclass(frozen=True)
class Learned:
    """What training for int8 ended in.

    Attributes:
        onnx: The fp32 ONNX file of the trained weights.
        tflite: The same as TFLite.
        ranges: Learned ones, by tensor of the ONNX file.
    """

    onnx: Path
    tflite: Path
    ranges: Ranges

    def pair(self, items: Items) -> FloatPair:
        """Return both files with the learned ranges.

        Args:
            items: Calibration inputs, for tensors that only one of the files has.
        """
        pair = calibrated(self.onnx, self.tflite, items, "min-max", 100.0)
        return pair.with_ranges({**pair.ranges, **self.ranges}, items)


def load_learned(folder: Path) -> Learned | None:
    """Return what the step made; None where the recipe does not ask for it."""
    if not (folder / _RANGES).is_file():
        return None
    ranges = {name: (low, high) for name, (low, high) in json.loads((folder / _RANGES).read_text()).items()}
    return Learned(folder / "float.onnx", folder / "float.tflite", ranges)


def load_qat_history(folder: Path) -> tuple[Epoch, ...]:
    """Return the epochs of the training for int8; none where the recipe does not ask for it."""
    path = folder / _HISTORY
    return load_history(path) if path.is_file() else ()


def write_learned(
    network: QatNetwork, probes: torch.Tensor, folder: Path, *, penultimate: bool = False
) -> None:
    """Write a trained network as float files with its ranges under the names of the ONNX file's tensors.

    Args:
        network: Trained and settled.
        probes: A few inputs.
        folder: Where to.
        penultimate: Whether the files also give the layer before the last.

    Raises:
        ConversionError: A range belongs to no tensor of the ONNX graph.
    """
    module, shape = network.folded(), tuple(probes.shape[1:])
    exported = WithPenultimate(module, shape) if penultimate else module
    export_onnx(exported, shape, folder / "float.onnx")
    export_tflite(exported, shape, folder / "float.tflite")
    tensors = OnnxActivations(folder / "float.onnx").run(probes.numpy())
    own = activations(module, probes)
    named = named_as(tensors, own, network.grids)
    lost = sorted(set(network.grids.values()) - set(named.values()))
    if lost:
        raise ConversionError(
            "the exported network does not compute what the student does",
            found=f"no tensor that equals its {', '.join(lost)}",
            next_step="leave out [quantize.qat], or write that part of the network as the exporter does",
        )
    ranges = network.ranges()
    learned = {name: ranges[grid] for name, grid in named.items()}
    (folder / _RANGES).write_text(json.dumps(learned, indent=2))


def _settings(recipe: Recipe) -> object:
    if recipe.quantize.qat is None:
        return {}
    return {
        "input": encode(recipe.input.of_items()),
        "student": encode(recipe.student),
        "augment": encode(recipe.augment),
        "qat": encode(recipe.quantize.qat),
        "penultimate": recipe.drift.projections > 0,
        "seed": recipe.seed,
    }


def _units(recipe: Recipe) -> float:
    return 1.0 if recipe.quantize.qat is None else float(recipe.quantize.qat.epochs)


def _run(context: Context) -> None:
    folder, qat = context.give(LEARNED), context.recipe.quantize.qat
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if qat is None:
        return
    recipe, needs, log = context.recipe, context.needs, context.scratch / "qat.log"
    preprocess = Preprocessor(recipe.input.steps())
    student = load_student(recipe, len(load_record(needs).classes), needs["student.pt"])
    network, history = _trained(context, qat, student, preprocess)
    save_history(history, folder / _HISTORY)
    items, _ = validation_items(needs, preprocess, recipe.seed, _PROBES)
    with told(log, "exporting the student trained for int8"):
        probes = torch.from_numpy(items.tensors(0, len(items)))
        write_learned(network, probes, folder, penultimate=recipe.drift.projections > 0)


def _trained(
    context: Context, qat: Qat, student: nn.Module, preprocess: Preprocessor
) -> tuple[QatNetwork, tuple[Epoch, ...]]:
    recipe, section = context.recipe, context.recipe.student
    answers, views = load_views(context.needs[VIEWS]), training_views(context)
    steps = qat.epochs * max(1, len(views) // qat.batch_size)
    example = torch.zeros(2, *recipe.input.shape)
    network = QatNetwork(student, example, max(1, round(steps * qat.observe)))
    how = Training(
        qat.epochs, qat.batch_size, qat.learning_rate, weight_decay=0.0, schedule="cosine", warmup=0.0
    )
    validation = load_split(context.needs, "validation")
    course = Course(views, len(answers), validation, preprocess, how, recipe.seed + 2)
    loss = distillation_loss(answers, section.temperature, section.distillation_weight)
    history = train(network, course, loss, context, "training for int8")
    network.settle()
    return network, history


QAT = Step(
    "qat",
    ("items.npy", "splits.npz", "data.json", VIEWS, "student.pt"),
    (LEARNED,),
    _settings,
    _run,
    units=_units,
)
