"""Histograms of a stream whose range is not known beforehand, merged batch by batch.

Invariants:
* bins are as wide as a power of two and start at its multiples, so that two histograms merge exactly;
* the width follows from the smallest and the largest value alone: in whatever order and batches the
  same values come, the histogram is the same, and it never has more than `BINS` bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096


@dataclass(frozen=True)
class Histogram:
    """Counts of finite values.

    Attributes:
        low: Smallest value.
        high: Largest value.
        exponent: Bins are `2 ** exponent` wide.
        first: The first bin starts at `first * 2 ** exponent`.
        counts: `(bins,) int64`, exact zeros left out.
        zeros: Exact zeros: a ReLU makes many, and every quantization keeps them exactly.
    """

    low: float
    high: float
    exponent: int
    first: int
    counts: NDArray[np.int64]
    zeros: int

    @property
    def total(self) -> int:
        """How many values were counted, zeros among them."""
        return int(self.counts.sum()) + self.zeros

    def edges(self) -> NDArray[np.float64]:
        """Return the `(bins + 1,) float64` limits of the bins."""
        steps = np.arange(self.first, self.first + len(self.counts) + 1, dtype=np.float64)
        return steps * math.ldexp(1.0, self.exponent)


def histogram(values: NDArray[np.float32]) -> Histogram:
    """Count an array of any shape.

    Raises:
        ValueError: It is empty or holds NaN or infinite values.
    """
    flat = values.ravel()
    if not flat.size or not np.isfinite(flat).all():
        raise ValueError("values to count must be finite and at least one")
    low, high = float(flat.min()), float(flat.max())
    exponent, first, bins = _grid(low, high)
    scaled = flat.astype(np.float64)
    scaled *= math.ldexp(1.0, -exponent)
    np.floor(scaled, out=scaled)
    scaled -= first
    counts = np.bincount(scaled.astype(np.int64), minlength=bins)
    zeros = int(flat.size - np.count_nonzero(flat))
    if zeros:
        counts[-first] -= zeros
    return Histogram(low, high, exponent, first, counts, zeros)


def merge(one: Histogram, other: Histogram) -> Histogram:
    """Return the histogram of both streams together."""
    low, high = min(one.low, other.low), max(one.high, other.high)
    exponent, first, bins = _grid(low, high)
    counts = np.zeros(bins, np.int64)
    for each in (one, other):
        at = (np.arange(each.first, each.first + len(each.counts)) >> (exponent - each.exponent)) - first
        np.add.at(counts, at, each.counts)
    return Histogram(low, high, exponent, first, counts, one.zeros + other.zeros)


def _grid(low: float, high: float) -> tuple[int, int, int]:
    """Return exponent, first bin and number of bins: the narrowest that need at most `BINS`."""
    # A range far from zero may be narrower than its values' own precision: 2^-24 of the largest.
    largest = max(abs(low), abs(high), float(np.finfo(np.float32).tiny))
    exponent = max(
        math.frexp(largest)[1] - 24,
        math.frexp(max(high - low, float(np.finfo(np.float32).tiny)))[1] - BINS.bit_length(),
    )
    while True:
        first, last = (math.floor(math.ldexp(value, -exponent)) for value in (low, high))
        if last - first < BINS:
            return exponent, first, last - first + 1
        exponent += 1
