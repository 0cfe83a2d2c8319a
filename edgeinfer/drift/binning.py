"""Numbers and classes to few symbols, by bins that are frozen with the model. Pure.

A number's symbol is how many edges are at most it: bin 0 is everything below the first edge, the
last bin everything from the last edge on. So values that no held-out item had, infinite ones too,
fall into an outer bin. NaN has no symbol, which is -1 here: it is never reported, and counts as a
failure of the model elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Values closer than this, relative to their size, are the same value summed in another order.
_SAME = 1e-9
# How far around a constant its own bin reaches, relative to its size.
_AROUND = 1e-3


def symbols_of(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Return the symbol of each number, 0 to `len(edges)`; -1 for NaN."""
    found = np.searchsorted(np.asarray(edges, np.float64), values, side="right").astype(np.int64)
    return np.where(np.isnan(values), np.int64(-1), found)


def count_symbols(symbols: NDArray[np.int64], total: int) -> tuple[int, ...]:
    """Return how often each of the symbols 0 to `total - 1` occurs; -1 is not counted."""
    counts = np.bincount(symbols[symbols >= 0], minlength=total)
    return tuple(int(count) for count in counts)


def freeze_edges(values: NDArray[np.float64], symbols: int) -> tuple[float, ...]:
    """Return edges that put about as many of the values into each bin.

    Edges lie between two neighbouring values, in the gap nearest to each quantile, never on one: a
    device that sums in another order still finds the same symbol. Where values repeat there are fewer
    bins; where all are one, there is a bin around it and one on either side.

    Args:
        values: Held-out values; those that are not finite are left out.
        symbols: Most bins, at least 2.

    Raises:
        ValueError: No value is finite.
    """
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        raise ValueError("no finite value to bin")
    low, high = finite[:-1], finite[1:]
    gaps = np.flatnonzero(high - low > _SAME * np.maximum(np.abs(low), np.abs(high)))
    if not len(gaps):
        reach = _AROUND * max(1.0, float(np.abs(finite).max()))
        return (float(finite[0]) - reach, float(finite[-1]) + reach)
    below = gaps + 1
    quantiles = len(finite) * np.arange(1, symbols) / symbols
    chosen = {int(gaps[np.abs(below - quantile).argmin()]) for quantile in quantiles}
    return tuple(_between(float(finite[at]), float(finite[at + 1])) for at in sorted(chosen))


def group_classes(counts: NDArray[np.int64], symbols: int) -> tuple[int, ...]:
    """Return the symbol of each class.

    As many classes as symbols, or fewer, keep one each, in their order. Of more, the `symbols - 1` most
    frequent keep one each, likeliest first (equal ones in order of their index), and all others share
    the last.

    Args:
        counts: `(classes,)`, how often each class is named on held-out data.
        symbols: Most symbols, at least 2.
    """
    classes = len(counts)
    if classes <= symbols:
        return tuple(range(classes))
    groups = np.full(classes, symbols - 1)
    groups[np.argsort(-counts, kind="stable")[: symbols - 1]] = np.arange(symbols - 1)
    return tuple(int(group) for group in groups)


def _between(low: float, high: float) -> float:
    """Return a number well inside a gap, with as few digits as that takes."""
    middle, margin = low + (high - low) / 2, (high - low) / 4
    for digits in range(1, 17):
        short = float(f"{middle:.{digits}g}")
        if low + margin <= short <= high - margin:
            return short
    return middle
