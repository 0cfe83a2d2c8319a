"""Static int8 TFLite from given ranges."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.quantize.ranges import Ranges
from converters.quantize.weight_scales import magnitudes, widened

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

    quantizing = quantizer.Quantizer(str(float_path))
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
    # In doubles, from values that a float32 holds: the scales are then those of the ONNX quantizer.
    ranges = widened(ranges)
    given = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in ranges.items()}
    weights = _weight_ranges(float_path, ranges, per_channel)
    write_tflite(quantizing.quantize({**given, **weights}, enable_progress_report=False), path)


def write_tflite(result: Any, path: Path) -> None:
    """Write what a quantizer made, over what is there."""
    path.unlink(missing_ok=True)
    result.export_model(str(path))
    # The quantizer marks what it writes as executable.
    path.chmod(0o644)


def _scalar(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.float32(value)], np.float64)


def _weight_ranges(
    path: Path, ranges: Ranges, per_channel: bool
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the range of every layer's weights by tensor name, shaped to divide them."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    kinds = {getattr(schema.BuiltinOperator, name): places for name, places in _WEIGHTED.items()}
    # By buffer: layers that share weights quantize them once.
    held: dict[int, NDArray[np.float32]] = {}
    names: dict[str, int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = kinds.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            taken: list[Any] = [None if at < 0 else graph.tensors[at] for at in operator.inputs]
            weight = None if kind is None else _constant(model, taken[1])
            if kind is None or weight is None:
                continue
            axis, input_, last = kind
            bias = _constant(model, taken[last]) if last < len(taken) else None
            range_ = ranges.get(taken[input_].name.decode())
            given = magnitudes(weight, axis, bias, range_, per_channel=per_channel)
            shaped = given.reshape([given.size if at == axis else 1 for at in range(weight.ndim)])
            buffer = taken[1].buffer
            held[buffer] = np.maximum(held.get(buffer, np.float32(0)), shaped)
            names[taken[1].name.decode()] = buffer
    return {name: {"min": -held[at], "max": held[at]} for name, at in names.items()}


def _constant(model: Any, tensor: Any) -> NDArray[np.float32] | None:
    """Return a stored float32 tensor; None for one that is computed or of another type."""
    from ai_edge_litert import schema_py_generated as schema

    if tensor is None or tensor.type != schema.TensorType.FLOAT32:
        return None
    content = model.buffers[tensor.buffer].data
    if content is None or not len(content):
        return None
    return np.frombuffer(bytes(content), np.float32).reshape(tensor.shape)
