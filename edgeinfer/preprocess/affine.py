"""Affine quantization: real = (stored - zero_point) * scale (Jacob et al. 2018, arXiv:1712.05877, eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeinfer.bundle import Quantization


def quantize(values: NDArray[np.float32], by: Quantization, dtype: str) -> NDArray[np.generic]:
    """Return `round(values / scale) + zero_point`, halves to even, clipped to the integer type."""
    limits = np.iinfo(dtype)
    stored = np.rint(values / np.float32(by.scale)) + by.zero_point
    result: NDArray[np.generic] = np.clip(stored, limits.min, limits.max).astype(dtype)
    return result


def dequantize(stored: NDArray[np.generic], by: Quantization) -> NDArray[np.float32]:
    """Return `(stored - zero_point) * scale` as float32."""
    return (stored.astype(np.float32) - np.float32(by.zero_point)) * np.float32(by.scale)
