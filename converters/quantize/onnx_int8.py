"""Static int8 ONNX (QDQ) from given ranges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from converters.quantize.ranges import Ranges
from converters.quantize.weight_scales import LARGEST_WEIGHT, magnitudes, on_the_grid, widened
from converters.recipe import IntegerTypes

_LOWEST = -3e38
# Operators with weights: the layers that can be kept in float.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantize_onnx(  # noqa: PLR0913 - two files, a folder, the ranges, and three choices of a file
    float_path: Path,
    ranges: Ranges,
    scratch: Path,
    path: Path,
    *,
    types: IntegerTypes = "U8S8",
    float_nodes: Collection[str] = (),
    per_channel: bool = True,
) -> None:
    """Write an int8 file that takes and gives float32.

    Its integers are the same for all `types`: they store them with another offset.

    Args:
        float_path: The fp32 file.
        ranges: Of every float tensor of that file.
        scratch: Folder for intermediate files.
        path: Where to.
        types: Activations before weights: U for uint8, S for int8.
        float_nodes: Names of nodes with weights to keep in float.
        per_channel: A scale per output channel of the weights, not per tensor.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    ranges = widened(ranges)
    prepared, cache = scratch / "prepared.onnx", scratch / "ranges.json"
    model = onnx.load(float_path)
    held = _magnitudes(model, ranges, float_nodes, per_channel)
    _round_biases(model, ranges, held)
    barriers = _add_barriers(model, float_nodes)
    onnx.save(model, prepared)
    _write_cache(ranges, cache)
    unsigned = {"U": QuantType.QUInt8, "S": QuantType.QInt8}
    options = {
        "QDQDisableWeightAdjustForInt32Bias": True,
        "TensorQuantOverrides": _overrides(held, types[2] == "U", per_channel),
    }
    quantize_static(
        str(prepared),
        str(path),
        None,
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=unsigned[types[0]],
        weight_type=unsigned[types[2]],
        nodes_to_exclude=[*float_nodes, *barriers],
        extra_options=options,
        calibration_cache_path=str(cache),
    )
    prepared.unlink()
    cache.unlink()


def _write_cache(ranges: Ranges, path: Path) -> None:
    """Write ranges as what the quantizer remembers of a calibration, so that it makes none."""
    from onnxruntime.quantization.calibrate import (
        CalibrationMethod,
        TensorData,
        TensorsData,
        save_tensors_data,
    )

    held = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, held), path)


def _add_barriers(model: onnx.ModelProto, float_nodes: Collection[str]) -> list[str]:
    """Put a `Max` behind every node that stays in float, in the place of its ReLU where it has one.

    ONNX Runtime quantizes anew, when a session loads and per tensor, whatever weighted operator stands
    between a DequantizeLinear and a QuantizeLinear (its WeightBiasQuantization transformer); it does
    not look through a `Max`.
    """
    graph = model.graph
    names = []
    for node in [each for each in graph.node if each.name in float_nodes]:
        given = node.output[0]
        if any(each.name == given for each in graph.output):
            continue
        readers = [each for each in graph.node if given in each.input]
        name = f"{node.name}_barrier"
        if len(readers) == 1 and readers[0].op_type == "Relu":
            least, inside, outside = 0.0, given, readers[0].output[0]
            position = list(graph.node).index(readers[0])
            graph.node.remove(readers[0])
        else:
            least, inside, outside = _LOWEST, f"{given}_float", given
            node.output[0] = inside
            position = list(graph.node).index(node) + 1
        graph.initializer.append(numpy_helper.from_array(np.array(least, np.float32), f"{name}_least"))
        barrier = helper.make_node("Max", [inside, f"{name}_least"], [outside], name=name)
        graph.node.insert(position, barrier)
        names.append(name)
    return names


def _magnitudes(
    model: onnx.ModelProto, ranges: Ranges, float_nodes: Collection[str], per_channel: bool
) -> dict[str, tuple[int, NDArray[np.float32]]]:
    """Return, by name of a quantized weight, the axis of its output channels and its magnitudes."""
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    held: dict[str, tuple[int, NDArray[np.float32]]] = {}
    for node in model.graph.node:
        if node.op_type not in WEIGHTED or node.name in float_nodes or node.input[1] not in values:
            continue
        name, weight = node.input[1], values[node.input[1]]
        axis = output_axis(node, weight.ndim)
        bias = values.get(node.input[2]) if len(node.input) > 2 else None
        given = magnitudes(weight, axis, bias, ranges.get(node.input[0]), per_channel=per_channel)
        # Layers may share weights.
        held[name] = axis, np.maximum(given, held[name][1]) if name in held else given
    return held


def _round_biases(
    model: onnx.ModelProto, ranges: Ranges, held: Mapping[str, tuple[int, NDArray[np.float32]]]
) -> None:
    """Put the biases of quantized layers on the grids of their sums; one that layers share has several."""
    values = {each.name: each for each in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        name = node.input[2] if node.op_type in WEIGHTED and len(node.input) > 2 else ""
        range_ = ranges.get(node.input[0]) if name else None
        if name in values and readers[name] == 1 and node.input[1] in held and range_ is not None:
            bias = on_the_grid(numpy_helper.to_array(values[name]), held[node.input[1]][1], range_)
            values[name].CopyFrom(numpy_helper.from_array(bias, name))


def _overrides(
    held: Mapping[str, tuple[int, NDArray[np.float32]]], unsigned: bool, per_channel: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the weights' scales for the quantizer; uint8 weights store the int8 weights' integers plus 128."""
    zero = np.uint8(128) if unsigned else np.int8(0)
    overrides: dict[str, list[dict[str, Any]]] = {}
    for name, (axis, given) in held.items():
        overrides[name] = [
            {"scale": scale, "zero_point": zero} for scale in given / np.float32(LARGEST_WEIGHT)
        ]
        if per_channel:
            overrides[name][0]["axis"] = axis
    return overrides


def output_axis(node: onnx.NodeProto, rank: int) -> int:
    """Return the axis of a weighted node's weight that counts its output channels."""
    if node.op_type in ("Gemm", "MatMul"):
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        return 0 if transposed else rank - 1
    return 1 if node.op_type == "ConvTranspose" else 0
