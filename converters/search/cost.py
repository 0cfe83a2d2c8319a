"""Size and time of a network as it would ship."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import nn

from converters.data.dataset import load_record
from converters.distill.architecture import Cost
from converters.distill.catalogue import parameters
from converters.export.artifacts import Artifact, write_artifacts
from converters.export.float_models import export_onnx, export_tflite
from converters.export.penultimate import WithPenultimate
from converters.export.slim import slim
from converters.export.variants import draft_manifest
from converters.quantize.float_pair import calibrated
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.ranges import Held
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quiet import logged
from converters.recipe import Recipe
from converters.steps import Context
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.inference import measure

_ONNX = Artifact("onnx-int8", "int8.onnx", "onnx", "int8", "onnxruntime", "static", "U8S8")
_TFLITE = Artifact("tflite-int8", "int8.tflite", "tflite", "int8", "litert", "static")
# What was timed, in the step's folder.
COST_BUNDLE = "cost/cost.eib"
# Values do not change size or time; they only have to differ from layer to layer.
_ITEMS = 8
_ROUNDS, _SECONDS = 3, 0.3


def measure_cost(module: nn.Module, context: Context) -> Cost:
    """Export, quantize and time a network.

    Args:
        module: In evaluation mode, batch norms folded; trained or not.
        context: Gives recipe, classes and scratch space.

    Raises:
        ConversionError: It cannot be exported or quantized.
    """
    folder = context.scratch / "cost"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with logged(context.scratch / "cost.log"):
        _write_int8(_as_trained(module), context.recipe, folder)
    sizes = []
    for artifact in (_ONNX, _TFLITE):
        path = folder / artifact.file
        path.write_bytes(slim(artifact, path.read_bytes()))
        sizes.append(path.stat().st_size)
    write_artifacts(folder, (_ONNX, _TFLITE))
    bundle, blobs = context.scratch / COST_BUNDLE, BlobSet()
    manifest = draft_manifest(context.recipe, load_record(context.needs), folder, blobs, 1.0)
    write_bundle(bundle, manifest, blobs)
    times = [
        measure(bundle, each.id, each.engine, seconds=_SECONDS).p50_us
        for _ in range(_ROUNDS)
        for each in (_ONNX, _TFLITE)
    ]
    onnx_bytes, tflite_bytes = sizes
    return Cost(parameters(module), onnx_bytes, tflite_bytes, min(times))


def _as_trained(module: nn.Module) -> nn.Module:
    """Return it with biases that all differ, as training leaves them: equal ones would be stored once."""
    varied, generator = copy.deepcopy(module), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in varied.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return varied


def _write_int8(module: nn.Module, recipe: Recipe, folder: Path) -> None:
    shape, per_channel = recipe.input.shape, recipe.quantize.per_channel
    items = Held(np.random.default_rng(0).normal(size=(_ITEMS, *shape)).astype(np.float32))
    floats = folder / "fp32.onnx", folder / "fp32.tflite"
    exported = WithPenultimate(module, shape) if recipe.drift.projections else module
    export_onnx(exported, shape, floats[0])
    export_tflite(exported, shape, floats[1])
    pair = calibrated(*floats, items, "min-max", 99.99)
    quantize_onnx(pair.onnx, pair.ranges, folder, folder / _ONNX.file, per_channel=per_channel)
    quantize_tflite(pair.tflite, pair.tflite_ranges, folder / _TFLITE.file, per_channel=per_channel)
