"""The quantize step: static int8 for both formats from one set of ranges, the float files beside them.

ONNX: QDQ, in the integer types that are fastest here. TFLite: int8 weights and activations. Inputs and
outputs stay float32, so that callers never see a scale. What each layer really runs in is read from
what the engines execute, and a layer that does not run as asked for ends the conversion.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.data.dataset import load_record
from converters.data.stored_items import validation_items
from converters.export.artifacts import NAMED_MODELS, Artifact, write_artifacts
from converters.export.slim_onnx import slim_onnx
from converters.export.variants import draft_manifest
from converters.json_file import save_json
from converters.quantize.float_pair import FloatPair, calibrated, float_tensors
from converters.quantize.further import write_further
from converters.quantize.integer_types import INTEGER_TYPES, TypeFigures, TypesTried, fastest, timed
from converters.quantize.layers import Layer, chosen_layers
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.precisions import check_precisions, onnx_precisions, tflite_precisions
from converters.quantize.ranges import Items
from converters.quantize.sensitivity import NOT_MEASURED, SENSITIVITY, OnnxTrial, Sensitivity, explore
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quantize.trained import LEARNED, load_learned
from converters.quiet import told
from converters.recipe import IntegerTypes, Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import BlobSet, encode, write_bundle
from edgeinfer.preprocess import Preprocessor

_WHAT = "quantizing the student"
_FLOATS = (
    Artifact("tflite-fp32", "fp32.tflite", "tflite", "fp32", "litert"),
    Artifact("onnx-fp32", "fp32.onnx", "onnx", "fp32", "onnxruntime"),
)


@dataclass(frozen=True)
class _Work:
    """What the parts of this step share.

    Attributes:
        context: Of the step.
        pair: The float files, calibrated.
        models: Folder that the step gives.
        candidates: Folder of ONNX files of which the fastest are shipped.
    """

    context: Context
    pair: FloatPair
    models: Path
    candidates: Path


@dataclass(frozen=True)
class _Static:
    """What came of static int8; nothing where it is not asked for.

    Attributes:
        artifacts: Files to ship, the best first.
        sensitivity: What layers in float would regain.
        types: Integer types of ONNX that were tried.
    """

    artifacts: tuple[Artifact, ...] = ()
    sensitivity: Sensitivity = NOT_MEASURED
    types: tuple[TypeFigures, ...] = ()


def _run(context: Context) -> None:
    needs, settings, log = context.needs, context.recipe.quantize, context.scratch / "quantize.log"
    models = _fresh(context.give(NAMED_MODELS))
    made = _static(context, models) if "int8" in settings.variants else _Static()
    for name in ("fp32.onnx", "fp32.tflite"):
        shutil.copyfile(needs[name], models / name)
    with told(log, _WHAT):
        further = write_further(settings.variants, needs["fp32.onnx"], needs["fp32.tflite"], models)
    write_artifacts(models, (*made.artifacts, *further, *_FLOATS))
    save_json(made.sensitivity, context.give(SENSITIVITY))
    save_json(TypesTried(made.types), context.give(INTEGER_TYPES))
    if made.sensitivity.drop(made.sensitivity.whole) > 0:
        context.report.note(made.sensitivity.advice())


def _static(context: Context, models: Path) -> _Static:
    """Write the int8 files of both formats."""
    recipe, log = context.recipe, context.scratch / "quantize.log"
    items, _ = validation_items(
        context.needs,
        Preprocessor(recipe.input.steps()),
        recipe.seed,
        recipe.quantize.calibration_items,
    )
    with context.report.bar("quantizing", 4) as bar:
        with told(log, _WHAT):
            pair = _pair(context, items)
        work = _Work(context, pair, models, _fresh(context.scratch / "candidates"))
        bar.advance(note="ranges")
        with told(log, _WHAT):
            sensitivity = _sensitivity(work)
        bar.advance(note="sensitivity")
        chosen = chosen_layers(pair.layers, sensitivity.chosen)
        with told(log, _WHAT):
            onnx_files, tried = _onnx_files(work, chosen)
        bar.advance(note="onnx")
        with told(log, _WHAT):
            tflite_file = _tflite_file(work, chosen, onnx_files[0])
        bar.advance(note="tflite")
    return _Static((tflite_file, *onnx_files), sensitivity, tried)


def _pair(context: Context, items: Items) -> FloatPair:
    """Return the float files to quantize with their ranges: as trained for int8, or the student's calibrated."""
    needs, settings = context.needs, context.recipe.quantize
    learned = load_learned(needs[LEARNED])
    if learned is not None:
        return learned.pair(items)
    return calibrated(
        needs["fp32.onnx"], needs["fp32.tflite"], items, settings.calibration, settings.percentile
    )


def _sensitivity(work: _Work) -> Sensitivity:
    recipe, settings = work.context.recipe, work.context.recipe.quantize
    preprocess = Preprocessor(recipe.input.steps())
    # Others than those that lent the ranges, where there are enough.
    items, labels = validation_items(
        work.context.needs, preprocess, recipe.seed, settings.sensitivity_items, last=True
    )
    trial = OnnxTrial(work.pair.onnx, work.pair.ranges, work.pair.layers, items, labels, settings.per_channel)
    names = [layer.name for layer in work.pair.layers if layer.tensor is not None]
    most = recipe.gates.max_int8_drop if settings.float_layers == "auto" else None
    found = explore(
        lambda kept: trial.measure(kept, work.candidates), names, len(items), trial.float_accuracy, most
    )
    if isinstance(settings.float_layers, tuple):
        found = replace(found, chosen=settings.float_layers)
    return found


def _onnx_files(work: _Work, chosen: Sequence[Layer]) -> tuple[list[Artifact], tuple[TypeFigures, ...]]:
    """Write the ONNX files to ship; return them, the best first, and the figures of all integer types."""
    settings = work.context.recipe.quantize
    found = [_candidate(work, types, chosen) for types in settings.onnx_types]
    artifacts, figures = [each for each, _ in found], [each for _, each in found]
    if len(found) > 1:
        figures = timed(figures, _bundled(work, artifacts), [each.id for each in artifacts])
    best = [each.types for each in fastest(figures, settings.ship)]
    shipped: list[Artifact] = []
    for types in best:
        artifact = next(each for each in artifacts if each.types == types)
        name = f"{artifact.precision}-{artifact.id}" if shipped else artifact.precision
        shutil.copyfile(work.candidates / artifact.file, work.models / f"{name}.onnx")
        shipped.append(replace(artifact, id=f"onnx-{name}", file=f"{name}.onnx"))
    return shipped, tuple(replace(each, shipped=each.types in best) for each in figures)


def _candidate(work: _Work, types: IntegerTypes, chosen: Sequence[Layer]) -> tuple[Artifact, TypeFigures]:
    """Write the ONNX file of some integer types, and read what its layers run in."""
    settings, path = work.context.recipe.quantize, work.candidates / f"{types}.onnx"
    quantize_onnx(
        work.pair.onnx,
        work.pair.ranges,
        work.candidates,
        path,
        types=types,
        float_nodes=[layer.node for layer in chosen],
        per_channel=settings.per_channel,
    )
    floats = [layer.name for layer in chosen]
    layers = onnx_precisions(path, work.pair.layers, work.candidates)
    unasked = tuple(name for name, found in layers.items() if found == "float" and name not in floats)
    check_precisions(f"the ONNX file ({types})", layers, [*floats, *unasked])
    artifact = Artifact(
        id=types.lower(),
        file=path.name,
        format="onnx",
        precision="mixed" if chosen else "int8",
        engine="onnxruntime",
        method="static" if settings.qat is None else "qat",
        types=types,
        layers=layers,
    )
    return artifact, TypeFigures(types, len(slim_onnx(path.read_bytes())), unasked)


def _bundled(work: _Work, artifacts: Sequence[Artifact]) -> Path:
    """Return a bundle of the candidates, for the runtime to measure."""
    context, path, blobs = work.context, work.candidates / "candidates.eib", BlobSet()
    write_artifacts(work.candidates, artifacts)
    record = load_record(context.needs)
    write_bundle(path, draft_manifest(context.recipe, record, work.candidates, blobs, 1.0), blobs)
    return path


def _tflite_file(work: _Work, chosen: Sequence[Layer], onnx_file: Artifact) -> Artifact:
    pair, settings = work.pair, work.context.recipe.quantize
    tensors: set[str] = set()
    if chosen:
        whole = work.candidates / "whole.onnx"
        assert onnx_file.types is not None
        quantize_onnx(pair.onnx, pair.ranges, work.candidates, whole, types=onnx_file.types)
        tensors = float_tensors(pair, chosen, whole, work.models / onnx_file.file)
    precision = onnx_file.precision
    path = work.models / f"{precision}.tflite"
    quantize_tflite(
        pair.tflite, pair.tflite_ranges, path, float_tensors=tensors, per_channel=settings.per_channel
    )
    layers = tflite_precisions(path, pair.layers)
    check_precisions(path.name, layers, [layer.name for layer in chosen])
    return Artifact(
        f"tflite-{precision}", path.name, "tflite", precision, "litert", onnx_file.method, layers=layers
    )


def _fresh(folder: Path) -> Path:
    """Return the folder empty: what a killed run left in it is no part of the result."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _settings(recipe: Recipe) -> object:
    settings = {"quantize": encode(recipe.quantize), "input": encode(recipe.input), "seed": recipe.seed}
    if recipe.quantize.float_layers == "auto":
        settings["max_int8_drop"] = recipe.gates.max_int8_drop
    return settings


QUANTIZE = Step(
    "quantize",
    ("items.npy", "splits.npz", "data.json", "fp32.onnx", "fp32.tflite", LEARNED),
    (NAMED_MODELS, SENSITIVITY, INTEGER_TYPES),
    _settings,
    _run,
)
