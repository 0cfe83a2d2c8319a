"""The student's layers in both files, and what each engine really computes them in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from converters.export.artifacts import LayerPrecision
from converters.export.onnx_session import onnx_session
from converters.quantize.onnx_int8 import WEIGHTED
from converters.quantize.tensor_map import TfliteActivations
from edgeinfer.errors import ConversionError

# What may stand between a layer's sum and the tensor that the other exporter names.
_BEHIND = frozenset(
    {"Relu", "Clip", "BatchNormalization", "Identity", "Flatten", "Reshape", "Squeeze", "Transpose"}
)
# Operators with weights of the TFLite format, as `WEIGHTED` of ONNX.
TFLITE_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_INTEGER = frozenset({"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger"})


@dataclass(frozen=True)
class Layer:
    """One operator with weights.

    Attributes:
        name: The module it comes from, or the node where the weight has no module's name.
        node: Its node in the ONNX graph.
        weight: Name of the weight in the ONNX graph.
        tensor: Output of its operator in the TFLite file, None where it was not found.
    """

    name: str
    node: str
    weight: str
    tensor: str | None = None


def find_layers(onnx_path: Path, tflite_path: Path, mapped: Mapping[str, str]) -> tuple[Layer, ...]:
    """Return the layers in the order in which they run.

    Args:
        onnx_path: The fp32 ONNX file.
        tflite_path: The fp32 TFLite file.
        mapped: ONNX tensor per TFLite tensor, from `map_tensors`.
    """
    graph = onnx.load(onnx_path).graph
    producers = {name: node for node in graph.node for name in node.output}
    tensors: dict[str, str] = {}
    for name in TfliteActivations(tflite_path).outputs_of(TFLITE_WEIGHTED):
        node = producers.get(mapped.get(name, ""))
        while node is not None and node.op_type in _BEHIND:
            node = producers.get(node.input[0])
        if node is not None and node.op_type in WEIGHTED:
            tensors[node.name] = name
    weights = {each.name for each in graph.initializer}
    found = [node for node in graph.node if node.op_type in WEIGHTED and node.input[1] in weights]
    names = [node.input[1].removesuffix(".weight") for node in found]
    return tuple(
        Layer(
            name if names.count(name) == 1 and name != node.input[1] else node.name,
            node.name,
            node.input[1],
            tensors.get(node.name),
        )
        for name, node in zip(names, found, strict=True)
    )


def chosen_layers(layers: Sequence[Layer], names: Collection[str]) -> tuple[Layer, ...]:
    """Return the layers of these names.

    Raises:
        ConversionError: There is no such layer, or it cannot be told apart in the TFLite file.
    """
    known = [each.name for each in layers]
    for name in names:
        if name not in known:
            raise ConversionError(
                f"quantize.float_layers names the unknown layer {name!r}", expected=", ".join(known)
            )
    chosen = tuple(each for each in layers if each.name in names)
    for each in chosen:
        if each.tensor is None:
            raise ConversionError(
                f"layer {each.name} cannot be kept in float",
                found="no tensor of the TFLite file that holds its output",
                next_step="leave it out of quantize.float_layers",
            )
    return chosen


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
