"""The model files as variants of a manifest, and a draft bundle that the real runtime can measure."""

from __future__ import annotations

from pathlib import Path

from converters.data.dataset import DataRecord, load_record
from converters.export.artifacts import MODELS, Artifact, load_artifacts
from converters.export.float_models import INPUT, OUTPUT
from converters.export.penultimate import PENULTIMATE
from converters.export.runtimes import TFLITE_SINCE, U8S8_ISA, onnx_needs
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
    classes = len(record.classes)
    variants = tuple(_variant(each, models / each.file, blobs) for each in load_artifacts(models))
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task=f"{recipe.input.kind}-classification",
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        inputs=(Input(INPUT, "float32", ("batch", *recipe.input.shape), steps, steps_digest(steps)),),
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
    opset, requires = onnx_needs(path) if artifact.format == "onnx" else (None, TFLITE_SINCE)
    return Variant(
        id=artifact.id,
        format=artifact.format,
        precision=artifact.precision,
        blob=blobs.add(path),
        inputs=inputs,
        outputs=outputs,
        requires=requires,
        opset=opset,
        isa=U8S8_ISA if artifact.types == "U8S8" else (),
    )


def _binding(tensor: TensorInfo, *, channels_last: bool) -> Binding:
    shape = tuple(axis if isinstance(axis, int) else "batch" for axis in tensor.shape)
    permute = (0, 2, 3, 1) if channels_last and len(shape) == 4 else None
    return Binding(tensor.name, tensor.dtype, shape, permute, tensor.quantization)  # type: ignore[arg-type]


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
