"""The manifest around ready model files: preprocessing, labels, postprocessing, bindings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from converters.ready.batch import BATCH
from converters.ready.files import ReadyFile
from converters.ready.recipe import Detections, ReadyInput, ReadyRecipe
from edgeinfer.bundle import (
    Binding,
    BlobSet,
    Boxes,
    CenterCrop,
    Decode,
    DType,
    Input,
    Layout,
    Manifest,
    NonMaximumSuppression,
    Normalize,
    Output,
    PostprocessStep,
    PreprocessStep,
    Quantization,
    Resize,
    Scale,
    ScoreThreshold,
    Softmax,
    SsdBoxes,
    TopK,
    Variant,
    steps_digest,
)
from edgeinfer.engines import TensorInfo
from edgeinfer.errors import ConversionError, DataError

INPUT = "input"
PICTURE = "image"
_TASKS = {
    "logits": "image-classification",
    "probabilities": "image-classification",
    "detections": "object-detection",
}
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_MOST_LABEL_BYTES = 4_000_000


@dataclass(frozen=True)
class Contract:
    """What callers see of the model, whichever file answers.

    Attributes:
        input: Name, type, shape and preprocessing.
        outputs: Names, types, shapes and postprocessing.
        order: Layout of a picture's tensor, None for a model that takes a tensor.
    """

    input: Input
    outputs: tuple[Output, ...]
    order: Literal["CHW", "HWC"] | None


def contract(recipe: ReadyRecipe, file: ReadyFile, shapes: Sequence[tuple[int, ...]]) -> Contract:
    """Return what the bundle takes and gives, from its first file.

    Args:
        recipe: The recipe.
        file: Of `recipe.model`.
        shapes: Of its outputs, without the batch, as they were seen.

    Raises:
        ConversionError: The input does not fit the preprocessing, or the outputs the answer.
        DataError: The label file does not fit.
    """
    given = recipe.input
    if given is None:
        lengths = _all_known(file.input)
        taken, order = Input(INPUT, "float32", (BATCH, *lengths), (), steps_digest(())), None
    else:
        order = layout(file.input, given)
        height, width = _sides(file.input, order, given)
        steps = preprocessing(given, height, width, order)
        axes = (given.channels, height, width) if order == "CHW" else (height, width, given.channels)
        taken = Input(PICTURE, "float32", (BATCH, *axes), steps, steps_digest(steps))
    names = recipe.output.names or tuple(each.name for each in file.outputs)
    if len(names) != len(file.outputs):
        raise ConversionError(
            "output.names",
            found=f"{len(names)} names",
            expected=f"{len(file.outputs)}, one for each output",
            next_step="name them all, or name fewer under model.outputs",
        )
    behind = _postprocessing(recipe, names, shapes)
    labels = None if recipe.output.labels is None else _read_labels(recipe.resolve(recipe.output.labels))
    outputs = []
    for at, (name, tensor, shape) in enumerate(zip(names, file.outputs, shapes, strict=True)):
        own = labels if at == 0 else None
        if own is not None and (not shape or len(own) != shape[-1]):
            raise DataError(
                f"the label file {recipe.output.labels} does not fit output {name}",
                found=f"{len(own)} labels",
                expected=f"{shape[-1] if shape else 'no axis'}, the length of its last axis",
                next_step="one class a line, in the order of the model's outputs, background included",
            )
        steps_behind = behind if at == 0 else ()
        outputs.append(Output(name, _manifest_dtype(tensor), (BATCH, *shape), own, steps_behind))
    return Contract(taken, tuple(outputs), order)


def layout(tensor: TensorInfo, given: ReadyInput) -> Literal["CHW", "HWC"]:
    """Return where a file's input has its channels.

    Raises:
        ConversionError: It is no picture of the recipe's colours.
    """
    shape = tensor.shape
    if len(shape) == 4:
        if shape[1] == given.channels and shape[3] != given.channels:
            return "CHW"
        if shape[3] == given.channels:
            return "HWC"
    raise ConversionError(
        f"the model's input {tensor.name} does not fit the preprocessing",
        found=f"{tensor.dtype} {_shown(tensor)}",
        expected=f"{given.color}: (batch, {given.channels}, height, width) or (batch, height, width, {given.channels})",
        next_step="mend [input] color, or leave out [input] for a model that takes a tensor",
    )


def preprocessing(
    given: ReadyInput, height: int, width: int, order: Literal["CHW", "HWC"]
) -> tuple[PreprocessStep, ...]:
    """Return the steps from a picture to the model's input."""
    cropped = given.crop < 1
    outer = (round(height / given.crop), round(width / given.crop)) if cropped else (height, width)
    steps: list[PreprocessStep] = [
        Decode(given.color, given.max_pixels, jpeg_oversampling=given.jpeg_oversampling),
        Resize(*outer, given.resize, given.filter),
    ]
    if cropped:
        steps.append(CenterCrop(height, width))
    steps.append(Scale(given.scale))
    if given.mean or given.std:
        zeros, ones = (0.0,) * given.channels, (1.0,) * given.channels
        steps.append(Normalize(given.mean or zeros, given.std or ones))
    return (*steps, Layout(order))


def _read_labels(path: Path) -> tuple[str, ...]:
    """Return the lines of a label file; empty ones at its end do not count.

    Raises:
        DataError: It cannot be read, or is no text.
    """
    try:
        if path.stat().st_size > _MOST_LABEL_BYTES:
            raise DataError(f"{path} is no label file", found=f"{path.stat().st_size:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # bytes that are no UTF-8 are a ValueError
        raise DataError(
            f"cannot read the labels {path} ({error})", next_step="check output.labels"
        ) from error
    return tuple(line.strip() for line in text.rstrip().splitlines())


def variant(file: ReadyFile, made: Contract, blobs: BlobSet) -> Variant:
    """Return a model file as a variant.

    Raises:
        ConversionError: It does not take or give what the first file does.
    """
    if len(file.outputs) != len(made.outputs):
        raise ConversionError(
            f"{file.format} gives another number of outputs",
            found=", ".join(each.name for each in file.outputs),
            expected=f"{len(made.outputs)}",
            next_step="name the right ones under `outputs`, in the same order",
        )
    return Variant(
        id=file.id,
        format=file.format,
        precision=file.precision,
        blob=blobs.add(file.path),
        inputs={made.input.name: _input_binding(file, made)},
        outputs={
            output.name: _output_binding(tensor, output)
            for tensor, output in zip(file.outputs, made.outputs, strict=True)
        },
        requires=file.requires,
        opset=file.opset,
        isa=file.isa,
    )


def manifest(recipe: ReadyRecipe, made: Contract, variants: Sequence[Variant]) -> Manifest:
    """Return a manifest that can be loaded, without measurements and golden inputs."""
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task=recipe.task or _TASKS.get(recipe.output.answer, "tensors"),
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        inputs=(made.input,),
        outputs=made.outputs,
        variants=tuple(variants),
        cloud=recipe.cloud,
        budgets=recipe.budgets,
    )


def _input_binding(file: ReadyFile, made: Contract) -> Binding:
    tensor = file.input
    quantization = tensor.quantization
    if tensor.dtype == "uint8" and quantization is None:
        quantization = Quantization(1.0, 0)
    if tensor.dtype not in ("float32", "uint8", "int8") or (
        tensor.dtype != "float32" and quantization is None
    ):
        raise ConversionError(
            f"input {tensor.name} is of a type that is not made here",
            found=tensor.dtype,
            expected="float32, or uint8 or int8 with its scale",
            next_step="export it with a float32 input",
        )
    shape, permute = tensor.shape, None
    if made.order is not None:
        channels = made.input.shape[1 if made.order == "CHW" else 3]
        own = "HWC" if len(shape) == 4 and shape[3] == channels else "CHW"
        if own != made.order:
            permute = _TO_LAST if own == "HWC" else _TO_FIRST
    order = permute or tuple(range(len(made.input.shape)))
    expected = [made.input.shape[at] for at in order]
    if len(shape) != len(expected) or any(
        isinstance(got, int) and got != want for got, want in zip(shape[1:], expected[1:], strict=True)
    ):
        raise ConversionError(
            f"input {tensor.name} of the {file.format} file does not fit",
            found=_shown(tensor),
            expected=list(expected),
            next_step="wrap two files together only if they are the same model",
        )
    batch = shape[0] if isinstance(shape[0], int) else BATCH
    lengths = tuple(expected[1:])
    return Binding(tensor.name, _known_dtype(tensor.dtype), (batch, *lengths), permute, quantization)


def _output_binding(tensor: TensorInfo, output: Output) -> Binding:
    shape = tensor.shape
    if len(shape) != len(output.shape) or any(
        isinstance(got, int) and got != want for got, want in zip(shape[1:], output.shape[1:], strict=True)
    ):
        raise ConversionError(
            f"output {tensor.name} does not fit {output.name}",
            found=_shown(tensor),
            expected=list(output.shape),
            next_step="name the outputs of both files in the same order",
        )
    batch = shape[0] if isinstance(shape[0], int) else BATCH
    return Binding(
        tensor.name, _known_dtype(tensor.dtype), (batch, *output.shape[1:]), None, tensor.quantization
    )


def _manifest_dtype(tensor: TensorInfo) -> DType:
    return "float32" if tensor.quantization is not None else _known_dtype(tensor.dtype)


def _known_dtype(name: str) -> DType:
    """Return a type's name as one that a manifest holds.

    Raises:
        ConversionError: Manifests hold no such values.
    """
    if name not in get_args(DType):
        raise ConversionError("a tensor is of a type that bundles do not hold", found=name)
    return cast("DType", name)


def _postprocessing(
    recipe: ReadyRecipe, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> tuple[PostprocessStep, ...]:
    output, detections = recipe.output, recipe.detections
    if output.answer == "values":
        return ()
    if detections is not None:
        if len(shapes) < 2 or len(shapes[0]) != 2 or shapes[1] != (shapes[0][0], 4):
            raise ConversionError(
                "the outputs are no scores and boxes",
                found=", ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True)),
                expected="(boxes, classes) first and (boxes, 4) second",
                next_step="name them in this order under model.outputs",
            )
        return _detection_steps(detections, names[1])
    if len(shapes[0]) != 1:
        raise ConversionError(
            f"output {names[0]} is no classification",
            found=list(shapes[0]),
            expected="one value a class",
            next_step="name another under model.outputs, or set output.answer to 'values'",
        )
    steps: tuple[PostprocessStep, ...] = (TopK(min(output.top, shapes[0][0])),)
    return (Softmax(output.temperature), *steps) if output.answer == "logits" else steps


def _detection_steps(given: Detections, boxes: str) -> tuple[PostprocessStep, ...]:
    where: Boxes | SsdBoxes = Boxes(boxes, given.coordinates, given.unit)
    if given.levels:
        where = SsdBoxes(boxes, given.levels, given.center_variance, given.size_variance, given.clip)
    return (
        *((Softmax(),) if given.logits else ()),
        where,
        ScoreThreshold(given.least, given.background),
        NonMaximumSuppression(given.iou, given.k, given.candidates, given.per_class),
    )


def _sides(tensor: TensorInfo, order: str, given: ReadyInput) -> tuple[int, int]:
    found = tensor.shape[2:4] if order == "CHW" else tensor.shape[1:3]
    sides = []
    for name, own, wanted in zip(("height", "width"), found, (given.height, given.width), strict=True):
        if isinstance(own, int) and wanted is not None and own != wanted:
            raise ConversionError(
                f"input.{name} is not the model's", found=wanted, expected=own, next_step="leave it out"
            )
        side = own if isinstance(own, int) else wanted
        if side is None:
            raise ConversionError(
                f"the model leaves its input's {name} open", next_step=f"state {name} under [input]"
            )
        sides.append(side)
    return sides[0], sides[1]


def _all_known(tensor: TensorInfo) -> tuple[int, ...]:
    lengths = tensor.shape[1:]
    if tensor.dtype != "float32" or not all(isinstance(each, int) for each in lengths):
        raise ConversionError(
            f"the model's input {tensor.name} is no tensor of stated lengths",
            found=f"{tensor.dtype} {_shown(tensor)}",
            expected="float32, all lengths but the batch's",
            next_step="for pictures state [input]; otherwise export with stated lengths",
        )
    return tuple(each for each in lengths if isinstance(each, int))


def _shown(tensor: TensorInfo) -> str:
    return "(" + ", ".join("?" if each is None else str(each) for each in tensor.shape) + ")"
