"""The layers step: where quantization loses what, layer by layer, for every quantized file.

Both files run on the same validation items, side by side. The error at a layer holds what earlier layers
brought; `own_snr_db` takes that away again, so that the layer at fault stands out and not those behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from torch import nn

from converters.data.dataset import load_record
from converters.data.stored_items import validation_items
from converters.distill.student import load_student
from converters.export.artifacts import MODELS, load_artifacts
from converters.json_file import load_json, save_json
from converters.quantize.trained import LEARNED, load_learned
from converters.quiet import logged
from converters.steps import Context, Step
from converters.verify.file_pairs import FilePair
from converters.verify.matching import match, trace
from converters.verify.onnx_pair import OnnxPair
from converters.verify.tally import Compared, Tally, own_snr
from converters.verify.tflite_pair import TflitePair
from edgeinfer.bundle import encode
from edgeinfer.preprocess import Preprocessor

LAYERS_FILE = "layers.json"
# Enough that the figures of a layer do not move; a batch bounds the memory, whatever the sample.
_ITEMS, _BATCH, _PROBES = 128, 16, 4


@dataclass(frozen=True)
class LayerFigures:
    """What quantization does to one layer of one file.

    Attributes:
        cosine: Cosine similarity of all values.
        largest_error: Largest absolute difference of a value.
        low: Least value of the float file.
        high: Its largest.
        quantized_low: Least value of the quantized file.
        quantized_high: Its largest.
        bytes: Weights, biases and scales that the quantized file stores for the layer.
        snr_db: Signal over error power, in decibels; None where no value differs.
        own_snr_db: The same without the error that came in; None where nothing is added.
    """

    cosine: float
    largest_error: float
    low: float
    high: float
    quantized_low: float
    quantized_high: float
    bytes: int
    snr_db: float | None = None
    own_snr_db: float | None = None


@dataclass(frozen=True)
class LayerRow:
    """One layer of the student.

    Attributes:
        name: Its path in the student.
        kinds: What it computes.
        shape: Shape of its value without the batch, channels first.
        variants: Figures by variant id; a variant in which the layer is not told apart is missing.
    """

    name: str
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    variants: Mapping[str, LayerFigures]


@dataclass(frozen=True)
class Layers:
    """What the layers step measured.

    Attributes:
        items: Validation items that ran.
        bytes: Size of each quantized file by variant id.
        layers: In order of execution, the input first.
    """

    items: int
    bytes: Mapping[str, int]
    layers: tuple[LayerRow, ...]

    def worst(self, variant: str) -> LayerRow | None:
        """Return the layer of a variant that adds most error of its own for the size of its values."""
        known = [
            (own.own_snr_db, at)
            for at, row in enumerate(self.layers)
            if (own := row.variants.get(variant)) is not None and own.own_snr_db is not None
        ]
        return self.layers[min(known)[1]] if known else None


def load_layers(path: Path) -> Layers:
    """Return what the layers step wrote."""
    return load_json(Layers, path)


def compare_layers(
    module: nn.Module,
    pairs: Mapping[str, FilePair],
    items: NDArray[np.float32],
    sizes: Mapping[str, int],
    named: Mapping[str, FilePair] = MappingProxyType({}),
) -> Layers:
    """Hold quantized files against their float files, layer by layer.

    Args:
        module: The student that was exported, in evaluation mode.
        pairs: A float file with a quantized one, by the quantized one's variant id.
        items: Preprocessed inputs, `(N, C, H, W) float32`; `N` may be large, memory is one batch's.
        sizes: Bytes of each quantized file by variant id.
        named: For a variant whose float file does not hold the student's weights, because it learned on
            for int8: the student's float file paired with that one. They tell layers by structure.
    """
    traced = trace(module, items[:_PROBES])
    compared: dict[str, dict[str, tuple[Compared, int]]] = {}
    for variant, pair in pairs.items():
        tensors = match(traced, named.get(variant, pair).reference(items[:_PROBES]))
        if variant in named:
            twins = named[variant].twins
            tensors = {layer: twins[tensor] for layer, tensor in tensors.items() if tensor in twins}
        tallies = _tally(pair, (items[at : at + _BATCH] for at in range(0, len(items), _BATCH)))
        compared[variant] = {
            layer: (tallies[tensor].compared(), pair.bytes.get(tensor, 0))
            for layer, tensor in tensors.items()
            if tensor in tallies
        }
    inputs = {layer.name: layer.inputs for layer in traced.layers}
    rows = []
    for layer in traced.layers:
        figures = {
            variant: _figures(layer.name, own, inputs)
            for variant, own in compared.items()
            if layer.name in own
        }
        if figures:
            rows.append(LayerRow(layer.name, layer.kinds, layer.shape[1:], figures))
    return Layers(len(items), dict(sizes), tuple(rows))


def _tally(pair: FilePair, batches: Iterable[NDArray[np.float32]]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for batch in batches:
        for seen in pair.observe(batch):
            tallies.setdefault(seen.tensor, Tally()).add(seen.reference, seen.given)
    return tallies


def _figures(
    name: str, compared: Mapping[str, tuple[Compared, int]], inputs: Mapping[str, tuple[str, ...]]
) -> LayerFigures:
    own, stored = compared[name]
    before = [compared[each][0].noise for each in _observed(name, compared, inputs)]
    return LayerFigures(
        snr_db=own.snr_db,
        own_snr_db=own_snr(own.noise, max(before, default=0.0)),
        cosine=own.cosine,
        largest_error=own.largest_error,
        low=own.low,
        high=own.high,
        quantized_low=own.quantized_low,
        quantized_high=own.quantized_high,
        bytes=stored,
    )


def _observed(name: str, known: Mapping[str, object], inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return the nearest layers before one that a file lets one see."""
    found: set[str] = set()
    waiting, passed = list(inputs[name]), set[str]()
    while waiting:
        each = waiting.pop()
        if each in passed:
            continue
        passed.add(each)
        if each in known:
            found.add(each)
        else:
            waiting += inputs[each]
    return found


def _run(context: Context) -> None:
    recipe, needs = context.recipe, context.needs
    chosen, _ = validation_items(needs, Preprocessor(recipe.input.steps()), recipe.seed, _ITEMS)
    items = chosen.tensors(0, len(chosen))
    module = load_student(recipe, len(load_record(needs).classes), needs["student.pt"])
    quantized = [each for each in load_artifacts(needs[MODELS]) if each.precision != "fp32"]
    with (
        context.report.bar("comparing layers", len(quantized)) as bar,
        logged(context.scratch / "layers.log"),
    ):
        learned = load_learned(needs[LEARNED])
        pairs: dict[str, FilePair] = {}
        named: dict[str, FilePair] = {}
        for each in quantized:
            pair = OnnxPair if each.format == "onnx" else TflitePair
            student = reference = needs[f"fp32.{each.format}"]
            if each.method == "qat" and learned is not None:
                reference = learned.onnx if each.format == "onnx" else learned.tflite
                named[each.id] = pair(student, reference)
            pairs[each.id] = pair(reference, needs[MODELS] / each.file)
            bar.advance(note=each.id)
        sizes = {each.id: (needs[MODELS] / each.file).stat().st_size for each in quantized}
        layers = compare_layers(module, pairs, items, sizes, named)
    save_json(layers, context.give(LAYERS_FILE))


LAYERS = Step(
    "layers",
    ("items.npy", "splits.npz", "data.json", "student.pt", "fp32.onnx", "fp32.tflite", LEARNED, MODELS),
    (LAYERS_FILE,),
    lambda recipe: {"input": encode(recipe.input), "seed": recipe.seed, "items": _ITEMS},
    _run,
)
