"""What each engine really computes a file's layers in: read from the graphs that run, not from what was asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from converters.export.artifacts import LayerPrecision
from converters.export.onnx_session import onnx_session
from converters.quantize.layers import TFLITE_WEIGHTED, Layer
from edgeinfer.errors import ConversionError

_INTEGER = frozenset({"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger"})


def onnx_precisions(path: Path, layers: Sequence[Layer], scratch: Path) -> dict[str, LayerPrecision]:
    """Return what ONNX Runtime computes each layer in on this processor, read from the graph it executes.

    Args:
        path: A quantized file.
        layers: Of the fp32 file it was made from.
        scratch: Folder for the optimized graph.
    """
    nodes = integer_operators(path, scratch)
    return {
        layer.name: "int8" if any(_computes(node, layer) for node in nodes) else "float" for layer in layers
    }


def integer_operators(path: Path, scratch: Path) -> list[onnx.NodeProto]:
    """Return the operators with weights that ONNX Runtime computes in integers, whatever their names."""
    return [node for node in optimized(path, scratch).graph.node if node.op_type in _INTEGER]


def optimized(path: Path, scratch: Path) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime makes of a file when a session loads."""
    written = scratch / "optimized.onnx"
    onnx_session(path, written=written)
    model = onnx.load(written)
    written.unlink()
    return model


def _computes(node: onnx.NodeProto, layer: Layer) -> bool:
    """Tell whether an integer node stands for a layer; optimizers number the nodes they rewrite."""
    named = re.fullmatch(re.escape(layer.node) + r"(_token_\d+)?", node.name) is not None
    return named or f"{layer.weight}_quantized" in node.input


def tflite_precisions(path: Path, layers: Sequence[Layer]) -> dict[str, LayerPrecision]:
    """Return what a quantized TFLite file computes each layer in: int8 where input, weight and output are.

    Layers whose tensor was not found are left out.

    Args:
        path: A quantized file.
        layers: Of the fp32 file it was made from.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(str(path), num_threads=1)
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    computed: dict[str, set[str]] = {}
    for op in interpreter._get_ops_details():
        if op["op_name"] in TFLITE_WEIGHTED:
            tensors = [details[int(at)] for at in (*op["inputs"][:2], op["outputs"][0])]
            computed[tensors[-1]["name"]] = {each["dtype"].__name__ for each in tensors}
    return {
        layer.name: "int8" if computed.get(layer.tensor) == {"int8"} else "float"
        for layer in layers
        if layer.tensor is not None
    }


def check_precisions(file: str, found: Mapping[str, LayerPrecision], float_layers: Collection[str]) -> None:
    """Hold what runs against what was asked for.

    Raises:
        ConversionError: A layer runs in another precision; names it.
    """
    for layer, precision in found.items():
        wanted = "float" if layer in float_layers else "int8"
        if precision != wanted:
            raise ConversionError(
                f"layer {layer} of {file} does not run as asked for",
                found=precision,
                expected=wanted,
                next_step="change quantize.onnx_types or quantize.float_layers",
            )
