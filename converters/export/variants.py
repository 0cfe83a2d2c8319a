"""The model files as variants of a manifest, and a draft bundle that the real runtime can measure."""

from __future__ import annotations

from pathlib import Path

from converters.data.dataset import DataRecord, load_record
from converters.export.artifacts import MODELS, Artifact, load_artifacts
from converters.export.float_models import INPUT, OUTPUT
from converters.export.penultimate import PENULTIMATE
from converters.recipe import Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import (
    Binding,
    BlobSet,
    Input,
    Manifest,
    Output,
    Softmax,
    TopK,
    Variant,
    encode,
    steps_digest,
    write_bundle,
)
from edgeinfer.engines import SessionOptions, TensorInfo, engine_named
from edgeinfer.errors import ConversionError

TASK = "image-classification"
# First ONNX Runtime release that was seen to load a model of each operator set and file version,
# tried on 1.17.3, 1.18.1, 1.19.2, 1.20.1, 1.21.1, 1.22.1, 1.23.2 and 1.24.4.
_OPSET_SINCE = {
    **dict.fromkeys((17, 18, 19, 20), "1.17"),
    21: "1.18",
    22: "1.21",
    23: "1.23",
    **dict.fromkeys((24, 25), "1.24"),
}
_IR_SINCE = {**dict.fromkeys((8, 9), "1.17"), 10: "1.18", 11: "1.23", **dict.fromkeys((12, 13), "1.24")}
# What the float and int8 files were run on; the float32 borders need nothing newer.
_TFLITE_SINCE = {"ai-edge-litert": "2.1", "tflite-runtime": "2.14", "tensorflow": "2.14"}


def draft_manifest(
    recipe: Recipe, record: DataRecord, models: Path, blobs: BlobSet, temperature: float
) -> Manifest:
    """Return a manifest that can be loaded, without measurements, golden outputs or lineage.

    Args:
        recipe: The recipe.
        record: The data's classes.
        models: Folder of model files.
        blobs: Receives the model files.
        temperature: Of the softmax.

    Raises:
        ConversionError: A file was exported for an operator set that no runtime is known to take.
    """
    steps = recipe.input.steps()
    shape = (recipe.input.channels, recipe.input.height, recipe.input.width)
    classes = len(record.classes)
    variants = tuple(_variant(each, models / each.file, blobs) for each in load_artifacts(models))
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task=TASK,
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        inputs=(Input(INPUT, "float32", ("batch", *shape), steps, steps_digest(steps)),),
        outputs=(
            Output(
                OUTPUT,
                "float32",
                ("batch", classes),
                labels=record.classes,
                postprocess=(Softmax(temperature), TopK(min(recipe.top, classes))),
            ),
            *(
                Output(name, "float32", ("batch", *binding.shape[1:]))
                for name, binding in variants[0].outputs.items()
                if name != OUTPUT
            ),
        ),
        variants=variants,
    )


def _variant(artifact: Artifact, path: Path, blobs: BlobSet) -> Variant:
    session = engine_named(artifact.engine).load(path.read_bytes(), SessionOptions())
    try:
        inputs = {INPUT: _binding(session.inputs[0], channels_last=artifact.format == "tflite")}
        names = (OUTPUT, PENULTIMATE)[: len(session.outputs)]
        outputs = {
            name: _binding(tensor, channels_last=False)
            for name, tensor in zip(names, session.outputs, strict=True)
        }
    finally:
        session.close()
    opset, requires = _onnx_needs(path) if artifact.format == "onnx" else (None, _TFLITE_SINCE)
    return Variant(
        id=artifact.id,
        format=artifact.format,
        precision=artifact.precision,
        blob=blobs.add(path),
        inputs=inputs,
        outputs=outputs,
        requires=requires,
        opset=opset,
    )


def _binding(tensor: TensorInfo, *, channels_last: bool) -> Binding:
    shape = tuple(axis if isinstance(axis, int) else "batch" for axis in tensor.shape)
    permute = (0, 2, 3, 1) if channels_last else None
    return Binding(tensor.name, tensor.dtype, shape, permute, tensor.quantization)  # type: ignore[arg-type]


def _onnx_needs(path: Path) -> tuple[int, dict[str, str]]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset not in _OPSET_SINCE or model.ir_version not in _IR_SINCE:
        raise ConversionError(
            f"{path.name} is not for a runtime that is known here",
            found=f"opset {opset}, IR {model.ir_version}",
            expected=f"opset {min(_OPSET_SINCE)}..{max(_OPSET_SINCE)}, IR {min(_IR_SINCE)}..{max(_IR_SINCE)}",
            next_step="install the exporter's tested version, see pyproject.toml",
        )
    releases = (_OPSET_SINCE[opset], _IR_SINCE[model.ir_version])
    return opset, {"onnxruntime": max(releases, key=lambda release: int(release.split(".")[1]))}


def _run(context: Context) -> None:
    blobs = BlobSet()
    record = load_record(context.needs)
    manifest = draft_manifest(context.recipe, record, context.needs[MODELS], blobs, temperature=1.0)
    write_bundle(context.give("draft.eib"), manifest, blobs)


DRAFT = Step(
    "draft",
    ("data.json", MODELS),
    ("draft.eib",),
    lambda recipe: {"input": encode(recipe.input), "top": recipe.top, "name": recipe.name},
    _run,
)
