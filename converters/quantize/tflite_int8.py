"""Static int8 TFLite from given ranges."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from converters.quantize.ranges import Ranges


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
    given = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in ranges.items()}
    write_tflite(quantizing.quantize(given, enable_progress_report=False), path)


def write_tflite(result: Any, path: Path) -> None:
    """Write what a quantizer made, over what is there."""
    path.unlink(missing_ok=True)
    result.export_model(str(path))
    # The quantizer marks what it writes as executable.
    path.chmod(0o644)


def _scalar(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.float32(value)], np.float64)
