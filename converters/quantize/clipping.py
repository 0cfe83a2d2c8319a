"""From a histogram to the range that eight bits are spent on: all of it, or less of it in finer steps."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from converters.quantize.histogram import Histogram

Method = Literal["min-max", "percentile", "entropy"]

_LEVELS = 256
_LEAST = 1e-6
# How many clipping thresholds the entropy method tries.
_CANDIDATES = 128
# Stands for no counts where the quantized histogram is empty and the other is not: the divergence
# is then large and not infinite.
_NOTHING = 1e-6


def clipped_range(counted: Histogram, method: Method, percentile: float) -> tuple[float, float]:
    """Return (low, high) of a tensor; it holds zero, which padding needs exactly.

    Args:
        counted: Its values.
        method: `min-max` takes all; `percentile` leaves out the outermost; `entropy` loses least.
        percentile: Share of the values to keep, in percent; for `percentile` alone.
    """
    if method == "percentile":
        low, high = _percentile(counted, percentile)
    elif method == "entropy":
        low, high = _entropy(counted)
    else:
        low, high = counted.low, counted.high
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    # A tensor of zeros alone still needs a scale above 0.
    return low, high if high - low >= _LEAST else low + _LEAST


def _percentile(counted: Histogram, percentile: float) -> tuple[float, float]:
    """Return the range that leaves out half of the rest on either side, linear within a bin."""
    edges = counted.edges()
    counts = counted.counts.astype(np.float64)
    zero = int(np.searchsorted(edges, 0.0, side="right")) - 1
    if counted.zeros:
        counts[zero] += counted.zeros
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    outside = (1 - percentile / 100) / 2
    # Within a bin and not at its edge: edges are multiples of a power of two, for which sums of two
    # quantized tensors often fall exactly between two steps, and engines round such ties differently.
    some = np.concatenate([[True], counts > 0])
    low = float(np.interp(outside, below[some], edges[some]))
    high = float(np.interp(1 - outside, below[some], edges[some]))
    return max(low, counted.low), min(high, counted.high)


def _entropy(counted: Histogram) -> tuple[float, float]:
    """Return the range whose quantization has the least Kullback-Leibler divergence from the values.

    Migacz 2017 ("8-bit inference with TensorRT", GTC 2017, slides 28-38), for ranges that need not be
    symmetric: values beyond a threshold t count in the outermost bins of the reference, the candidate
    spreads each of 256 levels evenly over its occupied bins. Zeros are left out: every candidate
    represents them exactly.
    """
    edges, counts = counted.edges(), counted.counts.astype(np.float64)
    largest = max(-counted.low, counted.high)
    if not counts.any() or len(counts) <= _LEVELS:
        return counted.low, counted.high
    best, limits = np.inf, (counted.low, counted.high)
    for threshold in np.linspace(largest / _CANDIDATES, largest, _CANDIDATES)[::-1]:
        low, high = max(counted.low, -threshold), min(counted.high, threshold)
        begin = max(int(np.searchsorted(edges, low, side="right")) - 1, 0)
        end = min(int(np.searchsorted(edges, high, side="left")), len(counts))
        if end - begin < _LEVELS:
            break
        divergence = _divergence(counts, begin, end)
        if divergence < best:
            best, limits = divergence, (low, high)
    return limits


def _divergence(counts: NDArray[np.float64], begin: int, end: int) -> float:
    """Return KL(reference || candidate) in nats for the bins `begin` to `end`."""
    inside = counts[begin:end]
    if not inside.any():
        return float("inf")
    reference = inside.copy()
    reference[0] += counts[:begin].sum()
    reference[-1] += counts[end:].sum()
    level = np.arange(len(inside)) * _LEVELS // len(inside)
    occupied = inside > 0
    sums = np.bincount(level, weights=inside, minlength=_LEVELS)
    filled = np.bincount(level, weights=occupied, minlength=_LEVELS)
    candidate = np.where(occupied, (sums / np.maximum(filled, 1))[level], 0.0)
    p = reference / reference.sum()
    q = np.maximum(candidate / candidate.sum(), _NOTHING / len(inside))
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())
