"""The grids of weights and biases, the same in both formats.

How large the weights of each output channel are taken to be: their scale is that over 127.

It is the largest of the channel, but where that is so small that its bias would not fit. Engines add a bias as an
int32 on the grid of the sums, the input's scale times the weights'; a bias of 0.5 on the grid of weights of 1e-9
is clipped to a millionth of itself. Each quantizer meets such a channel in its own way (ONNX Runtime's takes a scale
of 1 for weights of zero, ai-edge-quantizer 1e-9 / 127), and none keeps the bias.

Biases are put on that grid before either quantizer sees them. The two compute it in another order, a last bit of a
float32 apart: a bias midway between two integers was rounded up by one and down by the other, and that single unit,
in one of the 450 biases of a network, changed the class of 9 pictures in 5,000.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converters.quantize.ranges import Ranges

# Of an int8 weight.
LARGEST_WEIGHT = 127
# What ai-edge-quantizer takes a channel's weights, and a tensor's range, to be at least.
LEAST = 1e-9
# Half of what an int32 holds; the other half is for the sum of the products, of which 33,000 fit at their largest.
_LARGEST_BIAS = 2**30
_STEPS = 255


def magnitudes(
    weight: NDArray[np.float32],
    axis: int,
    bias: NDArray[np.float32] | None,
    input_range: tuple[float, float] | None,
    *,
    per_channel: bool = True,
) -> NDArray[np.float32]:
    """Return what the weights' scales are 1/127 of: `(channels,) float32`, or `(1,)` of the whole tensor.

    Args:
        weight: Of a layer.
        axis: Which counts its output channels.
        bias: `(channels,)`, or of every group; None without, and where it is not added in int32.
        input_range: Least and largest value of the layer's input; None where it is not quantized.
        per_channel: A scale per output channel, not per tensor.
    """
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    largest = np.abs(rows).max(1, initial=0).astype(np.float64)
    least = np.full(largest.shape, LEAST)
    if bias is not None and input_range is not None:
        unit = _input_scale(input_range) * _LARGEST_BIAS
        least = np.maximum(least, _per_channel(bias, largest.size) / unit * LARGEST_WEIGHT)
    given = np.maximum(largest, least)
    found: NDArray[np.float32] = (given if per_channel else given.max(keepdims=True)).astype(np.float32)
    return found


def on_the_grid(
    bias: NDArray[np.float32], magnitudes: NDArray[np.float32], input_range: tuple[float, float]
) -> NDArray[np.float32]:
    """Return a bias rounded to the grid of the sums: `s_x * s_w`, the input's scale times the weights'.

    Args:
        bias: `(channels,)`, or of every group; one that fits no such shape is returned as it is.
        magnitudes: Of the layer's weights.
        input_range: Least and largest value of the layer's input.
    """
    grid = _input_scale(input_range) * (magnitudes.astype(np.float64) / LARGEST_WEIGHT)
    if bias.size % grid.size:
        return bias
    rows = bias.astype(np.float64).reshape(-1, grid.size)
    found: NDArray[np.float32] = (np.rint(rows / grid) * grid).reshape(bias.shape).astype(np.float32)
    return found


def _input_scale(input_range: tuple[float, float]) -> float:
    return max(_width(*input_range), LEAST) / _STEPS


def _per_channel(bias: NDArray[np.float32], channels: int) -> NDArray[np.float64]:
    """Return the largest bias that each of the weight's channels has: groups of transposed ones share them."""
    sizes = np.abs(bias.astype(np.float64)).ravel()
    return (
        sizes.reshape(-1, channels).max(0) if sizes.size % channels == 0 else np.full(channels, sizes.max())
    )


def widened(ranges: Ranges) -> Ranges:
    """Return the ranges, those of tensors that are zero for every item made as wide as the least.

    ONNX Runtime's quantizer takes a scale of 1 for such a tensor, ai-edge-quantizer one of 1e-9 / 255.
    """
    return {
        name: (low, high) if _width(low, high) >= LEAST else (0.0, 2 * LEAST)
        for name, (low, high) in ranges.items()
    }


def _width(low: float, high: float) -> float:
    """Return how wide a range is that holds zero, which every grid does."""
    return max(high, 0.0) - min(low, 0.0)
