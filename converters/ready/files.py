"""The model files of a ready recipe, as they will ship."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from converters.export.runtimes import TFLITE_SINCE, onnx_needs
from converters.quantize.layers import TFLITE_WEIGHTED
from converters.ready.batch import fix_lengths, free_batch, state_outputs
from converters.ready.onnx_file import clean, lower, read_onnx
from converters.ready.proof import copied, outputs_of, probes, repeated, same
from converters.ready.recipe import ModelFile, ReadyRecipe
from converters.ready.rules import FORMATS
from edgeinfer.engines import SessionOptions, TensorInfo, engine_named
from edgeinfer.errors import ConversionError, ModelLoadError

ENGINES = {"onnx": "onnxruntime", "tflite": "litert"}
Precision = Literal["fp32", "int8", "mixed"]


@dataclass(frozen=True)
class ReadyFile:
    """One model file of the bundle.

    Attributes:
        path: The file.
        format: `onnx` or `tflite`.
        precision: What it computes in.
        input: Its input, as the engine takes it.
        outputs: Its outputs, in the order of the bundle's.
        requires: Least release per runtime.
        opset: Of an ONNX file.
        notes: What was done to it.
        sha256: Digest of the file that it came from.
        isa: Instruction sets that it is known to profit from.
    """

    path: Path
    format: Literal["onnx", "tflite"]
    precision: Precision
    input: TensorInfo
    outputs: tuple[TensorInfo, ...]
    requires: dict[str, str]
    opset: int | None
    notes: tuple[str, ...]
    sha256: str
    isa: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its variant's id."""
        return f"{self.format}-{self.precision}"

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""
        return ENGINES[self.format]


def prepare(file: ModelFile, recipe: ReadyRecipe, scratch: Path) -> ReadyFile:
    """Clean one model file.

    Args:
        file: Of the recipe.
        recipe: Says where it lies and what it must run on.
        scratch: Where the result goes.

    Raises:
        ConversionError: It cannot be read, run, cut or lowered.
    """
    path = recipe.resolve(file.path)
    if FORMATS[path.suffix.lower()] == "onnx":
        return _prepare_onnx(path, file, recipe, scratch)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConversionError(
            f"cannot read the model {path} ({error.strerror or error})", next_step="check the path"
        ) from error
    target = scratch / "ready.tflite"
    target.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return described(target, file.outputs, (), digest, name=path.name)


def _prepare_onnx(path: Path, file: ModelFile, recipe: ReadyRecipe, scratch: Path) -> ReadyFile:
    model, notes = read_onnx(path)
    original = copied(model)
    notes += clean(model, file.outputs)
    fix_lengths(model, _lengths(model, recipe))
    state_outputs(model)
    model, done = lower(model, recipe.runtimes.onnxruntime, quantize=recipe.quantize is not None)
    notes += done
    model, done_batch = free_batch(model)
    notes.append(done_batch)
    _prove(original, model)
    target = scratch / "ready.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    names = [each.name for each in model.graph.output]
    return described(target, names, notes, digest, name=path.name)


def described(
    path: Path, outputs: Sequence[str] | None, notes: Sequence[str], digest: str, *, name: str = ""
) -> ReadyFile:
    """Load a file with its engine and return it with what it takes and gives.

    Args:
        path: A `.onnx` or `.tflite` file.
        outputs: Names of its outputs in order; None for its own order.
        notes: What was done to it.
        digest: Of the file that it came from.
        name: What to call it in errors.

    Raises:
        ConversionError: The engine refuses it, or it lacks an output or has several inputs.
    """
    format_: Literal["onnx", "tflite"] = "onnx" if path.suffix == ".onnx" else "tflite"
    inputs, given = _tensors(path, ENGINES[format_], name or path.name)
    wanted = list(outputs or given)
    missing = [each for each in wanted if each not in given]
    if missing:
        raise ConversionError(
            f"{name or path.name} has no such output",
            found=", ".join(missing),
            expected=", ".join(given),
            next_step="mend `outputs` in the recipe",
        )
    opset, requires = onnx_needs(path) if format_ == "onnx" else (None, dict(TFLITE_SINCE))
    return ReadyFile(
        path=path,
        format=format_,
        precision=_onnx_precision(path) if format_ == "onnx" else _tflite_precision(path),
        input=inputs[0],
        outputs=tuple(given[each] for each in wanted),
        requires=requires,
        opset=opset,
        notes=tuple(notes),
        sha256=digest,
    )


def _tensors(path: Path, engine: str, name: str) -> tuple[tuple[TensorInfo, ...], dict[str, TensorInfo]]:
    """Return the one input and the outputs by name, as the engine sees them."""
    try:
        session = engine_named(engine).load(path.read_bytes(), SessionOptions())
    except ModelLoadError as error:
        raise ConversionError(
            f"{name} cannot be loaded ({error.what})",
            next_step="copy or export it again, without operators that the runtime lacks",
        ) from error
    inputs, given = session.inputs, {each.name: each for each in session.outputs}
    session.close()
    if len(inputs) != 1:
        raise ConversionError(
            f"{name} takes another number of inputs than one",
            found=", ".join(each.name for each in inputs),
            expected="one input, the picture or tensor",
            next_step="export it with one",
        )
    return inputs, given


def _lengths(model: onnx.ModelProto, recipe: ReadyRecipe) -> tuple[int | None, ...]:
    """Return what the recipe says of the lengths of the input's axes."""
    given = recipe.input
    axes = model.graph.input[0].type.tensor_type.shape.dim
    if given is None or len(axes) != 4:
        return ()
    if axes[3].dim_value == given.channels and axes[1].dim_value != given.channels:
        return (None, given.height, given.width, given.channels)
    return (None, given.channels, given.height, given.width)


def _prove(original: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Hold what ships against the file that came, on inputs of its own batch.

    Raises:
        ConversionError: They differ.
    """
    weights = {each.name for each in original.graph.initializer}
    declared = next(each for each in original.graph.input if each.name == model.graph.input[0].name)
    assert declared.name not in weights, "weights are no inputs any more"
    count = declared.type.tensor_type.shape.dim[0].dim_value or 1
    fed = repeated(probes(model), count)
    names = [each.name for each in model.graph.output]
    known = {each.name for each in original.graph.output}
    # A tensor inside the graph becomes an output by being named as one.
    original.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    others = [
        each for each in original.graph.input if each.name != declared.name and each.name not in weights
    ]
    for each in others:
        original.graph.input.remove(each)
    if not same(outputs_of(original, fed, names), outputs_of(model, fed, names)):
        raise ConversionError(
            "the cleaned model does not compute what the file computes",
            next_step="export it for the operator set of the runtime yourself, and report this model",
        )


def _onnx_precision(path: Path) -> Precision:
    graph = onnx.load(path).graph
    kinds = {node.op_type for node in graph.node}
    quantized = any(kind.startswith("QLinear") for kind in kinds) or "DequantizeLinear" in kinds
    return "int8" if quantized else "fp32"


def _tflite_precision(path: Path) -> Precision:
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    dtypes = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    ops = [op for op in interpreter._get_ops_details() if op["op_name"] in TFLITE_WEIGHTED]
    small = [dtypes[int(op["outputs"][0])] in (np.int8, np.uint8, np.int16) for op in ops]
    if not any(small):
        return "fp32"
    return "int8" if all(small) else "mixed"
