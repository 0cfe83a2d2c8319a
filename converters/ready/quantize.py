"""Static int8 forms of ready float files, each from ranges of its own tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from converters.export.runtimes import U8S8_ISA
from converters.export.slim_onnx import drop_imports
from converters.quantize.onnx_int8 import WEIGHTED, quantize_onnx
from converters.quantize.ranges import Ranges, collect_ranges
from converters.quantize.tensor_map import TfliteActivations
from converters.quantize.tflite_int8 import quantize_tflite
from converters.ready.files import ReadyFile, described
from converters.ready.items import FolderItems
from converters.ready.recipe import ReadyQuantize
from edgeinfer.bundle import Binding, Variant
from edgeinfer.errors import ConversionError


class _Arranged:
    """Items in the order of axes that a file has, from the manifest's."""

    def __init__(self, items: FolderItems, binding: Binding) -> None:
        self._items, self._permute = items, binding.permute

    def __len__(self) -> int:
        return len(self._items)

    def tensors(self, start: int, stop: int) -> NDArray[np.float32]:
        given = self._items.tensors(start, stop)
        return given if self._permute is None else np.ascontiguousarray(given.transpose(self._permute))


def quantized(
    file: ReadyFile, bound: Variant, items: FolderItems, given: ReadyQuantize, scratch: Path
) -> ReadyFile:
    """Return a float file's int8 form.

    Args:
        file: In float.
        bound: The file as a variant.
        items: Whose ranges are taken.
        given: The recipe's.
        scratch: Where the result goes.

    Raises:
        ConversionError: The quantizer fails on it, or a layer that is to stay in float is not there.
    """
    (binding,) = bound.inputs.values()
    arranged = _Arranged(items, binding)
    path = scratch / f"int8.{file.format}"
    try:
        if file.format == "onnx":
            folded = _folded(file.path, scratch)
            _check_nodes(folded, given.float_layers)
            ranges = collect_ranges(folded, arranged)
            quantize_onnx(folded, ranges, scratch, path, float_nodes=given.float_layers)
        else:
            listed = _modernized(file.path, bound, scratch)
            quantize_tflite(listed, _tflite_ranges(listed, arranged), path)
    except ConversionError:
        raise
    except Exception as error:  # both quantizers raise whatever their passes raise
        raise ConversionError(
            f"quantizing {file.format} failed ({type(error).__name__}: {error})",
            next_step="leave out [quantize] for it, or wrap the model without this file",
        ) from error
    notes = [f"static int8 from {len(items)} items"]
    if given.float_layers and file.format == "onnx":
        notes.append(f"kept in float: {', '.join(given.float_layers)}")
    # The quantizer keeps the order of all outputs and renames them.
    all_, renamed = (described(each, None, (), file.sha256).outputs for each in (file.path, path))
    places = [[each.name for each in all_].index(each.name) for each in file.outputs]
    made = described(path, [renamed[at].name for at in places], notes, file.sha256)
    if file.format == "tflite":
        return replace(made, precision="int8")
    return replace(made, precision="mixed" if given.float_layers else "int8", isa=U8S8_ISA)


def _tflite_ranges(path: Path, items: _Arranged) -> Ranges:
    """Return the least and largest value of every float tensor over all items."""
    activations = TfliteActivations(path)
    found: dict[str, tuple[float, float]] = {}
    for at in range(len(items)):
        # It takes pictures with channels first, and turns them.
        own = items.tensors(at, at + 1)
        fed = own.transpose(0, 3, 1, 2) if own.ndim == 4 else own
        for name, value in activations.run(fed).items():
            low, high = float(value.min()), float(value.max())
            before = found.get(name, (low, high))
            found[name] = (min(low, before[0]), max(high, before[1]))
    return found


def _modernized(path: Path, bound: Variant, scratch: Path) -> Path:
    """Write a TFLite file as the quantizer reads it: files of old converters leave fields out.

    They have no list of signatures, their operators' codes stand in the field of one byte alone, and
    lengths of outputs that follow from the graph are not stated.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    written = scratch / "listed.tflite"
    model = flatbuffer_utils.read_model(str(path))
    model.signatureDefs = model.signatureDefs or []
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    lengths = {binding.tensor: binding.shape for binding in bound.outputs.values()}
    graph = model.subgraphs[0]
    for tensor in (graph.tensors[at] for at in graph.outputs):
        stated = lengths.get(tensor.name.decode())
        if stated is not None:
            tensor.shape = [each if isinstance(each, int) else 1 for each in stated]
            tensor.shapeSignature = [each if isinstance(each, int) else -1 for each in stated]
    flatbuffer_utils.write_model(model, str(written))
    return written


def _folded(path: Path, scratch: Path) -> Path:
    """Write the graph with constants computed and batch norms folded into their layers; quantizers need that."""
    written = scratch / "folded.onnx"
    onnx_session(path, optimize="basic", written=written)
    model, original = onnx.load(written), onnx.load(path, load_external_data=False)
    model.ir_version = original.ir_version
    drop_imports(model)
    onnx.save(model, written)
    return written


def _check_nodes(path: Path, names: tuple[str, ...]) -> None:
    known = [node.name for node in onnx.load(path).graph.node if node.op_type in WEIGHTED]
    missing = [each for each in names if each not in known]
    if missing:
        raise ConversionError(
            "quantize.float_layers names nodes that are no layers",
            found=", ".join(missing),
            expected=f"names such as {', '.join(known[:3])}",
            next_step="mend the recipe",
        )
