"""Static int8 TFLite from given ranges."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.quantize.ranges import Ranges
from converters.quantize.weight_scales import magnitudes, on_the_grid, widened

# Per kind of operator: the axis of its weight, operand 1, that counts output channels; operands input and bias.
_WEIGHTED = {
    "CONV_2D": (0, 0, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 2),
    "FULLY_CONNECTED": (0, 0, 2),
    "TRANSPOSE_CONV": (0, 2, 3),
}


def quantize_tflite(
    float_path: Path,
    ranges: Ranges,
    path: Path,
    *,
    float_tensors: Collection[str] = (),
    per_channel: bool = True,
) -> None:
    """Write an int8 file that takes and gives float32.

    Args:
        float_path: The fp32 file.
        ranges: Of every float activation of that file, under its names.
        path: Where to.
        float_tensors: Names of tensors whose operators are kept in float.
        per_channel: A scale per output channel of the weights, not per tensor.
    """
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    # In doubles, from values that a float32 holds: the scales are then those of the ONNX quantizer.
    ranges = widened(ranges)
    given = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in ranges.items()}
    model, weights = _prepared(float_path, ranges, per_channel, float_tensors)
    quantizing = quantizer.Quantizer(model)
    granularity = qtyping.QuantGranularity
    quantizing.add_static_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=granularity.CHANNELWISE if per_channel else granularity.TENSORWISE,
    )
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        quantizing.update_quantization_recipe(".*", border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for name in float_tensors:
        # An operator is known by its outputs' names, each closed by a semicolon; one name may be the
        # beginning of another.
        quantizing.update_quantization_recipe(
            f"^{re.escape(name)};?$",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    write_tflite(quantizing.quantize({**given, **weights}, enable_progress_report=False), path)


def write_tflite(result: Any, path: Path) -> None:
    """Write what a quantizer made, over what is there."""
    path.unlink(missing_ok=True)
    result.export_model(str(path))
    # The quantizer marks what it writes as executable.
    path.chmod(0o644)


def _scalar(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.float32(value)], np.float64)


@dataclass(frozen=True)
class _Weighted:
    """An operator with stored weights.

    Attributes:
        weight: Its values.
        axis: Which counts output channels.
        bias: Its values, or None where there is none or it is computed.
        names: Of the tensors of weight, input and output.
        buffers: Where weight and bias are stored; -1 for no bias.
    """

    weight: NDArray[np.float32]
    axis: int
    bias: NDArray[np.float32] | None
    names: tuple[str, str, str]
    buffers: tuple[int, int]


def _prepared(
    path: Path, ranges: Ranges, per_channel: bool, float_tensors: Collection[str]
) -> tuple[bytes, dict[str, dict[str, NDArray[np.float32]]]]:
    """Return the file with biases on the grids of their sums, and the range of every layer's weights by tensor name."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    operators = _weighted(model)
    # By buffer: layers that share weights quantize them once.
    held: dict[int, NDArray[np.float32]] = {}
    for each in operators:
        range_ = ranges.get(each.names[1])
        given = magnitudes(each.weight, each.axis, each.bias, range_, per_channel=per_channel)
        held[each.buffers[0]] = np.maximum(held.get(each.buffers[0], np.float32(0)), given)
    readers = _readers(model)
    weights = {}
    for each in operators:
        (name, input_, output), (stored, bias_stored) = each.names, each.buffers
        shape = [held[stored].size if at == each.axis else 1 for at in range(each.weight.ndim)]
        largest = held[stored].reshape(shape)
        weights[name] = {"min": -largest, "max": largest}
        alone = readers[bias_stored] == 1  # a bias that layers share has several grids
        if each.bias is not None and alone and input_ in ranges and output not in float_tensors:
            bias = on_the_grid(each.bias, held[stored], ranges[input_])
            model.buffers[bias_stored].data = np.frombuffer(bias.tobytes(), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), weights


def _weighted(model: Any) -> list[_Weighted]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {getattr(schema.BuiltinOperator, name): places for name, places in _WEIGHTED.items()}
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = kinds.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            taken: list[Any] = [None if at < 0 else graph.tensors[at] for at in operator.inputs]
            weight = None if kind is None else _constant(model, taken[1])
            if kind is None or weight is None:
                continue
            axis, input_, last = kind
            bias = taken[last] if last < len(taken) else None
            names = (taken[1].name, taken[input_].name, graph.tensors[operator.outputs[0]].name)
            found.append(
                _Weighted(
                    weight,
                    axis,
                    _constant(model, bias),
                    tuple(each.decode() for each in names),
                    (taken[1].buffer, -1 if bias is None else bias.buffer),
                )
            )
    return found


def _readers(model: Any) -> Counter[int]:
    """Return how many operators' inputs each buffer is."""
    return Counter(
        graph.tensors[at].buffer
        for graph in model.subgraphs
        for operator in graph.operators
        for at in operator.inputs
        if at >= 0
    )


def _constant(model: Any, tensor: Any) -> NDArray[np.float32] | None:
    """Return a stored float32 tensor; None for one that is computed or of another type."""
    from ai_edge_litert import schema_py_generated as schema

    if tensor is None or tensor.type != schema.TensorType.FLOAT32:
        return None
    content = model.buffers[tensor.buffer].data
    if content is None or not len(content):
        return None
    return np.frombuffer(bytes(content), np.float32).reshape(tensor.shape)
