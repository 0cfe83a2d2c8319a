"""The student's layers in both files: the operators with weights, under the names of their modules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from converters.quantize.onnx_int8 import WEIGHTED
from converters.quantize.tensor_map import TfliteActivations
from edgeinfer.errors import ConversionError

# What may stand between a layer's sum and the tensor that the other exporter names.
_BEHIND = frozenset(
    {"Relu", "Clip", "BatchNormalization", "Identity", "Flatten", "Reshape", "Squeeze", "Transpose"}
)
# Operators with weights of the TFLite format, as `WEIGHTED` of ONNX.
TFLITE_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


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
