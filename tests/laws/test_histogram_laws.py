"""What holds for the histograms of every stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from converters.quantize.clipping import clipped_range
from converters.quantize.histogram import BINS, Histogram, histogram, merge

VALUES = hnp.arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-(2.0**60), 2.0**60, width=32, allow_nan=False)
)


def same(one: Histogram, other: Histogram) -> bool:
    scalars = [(each.low, each.high, each.exponent, each.first, each.zeros) for each in (one, other)]
    return scalars[0] == scalars[1] and bool((one.counts == other.counts).all())


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_commutative_and_equals_counting_at_once(one, two, three):
    a, b, c = histogram(one), histogram(two), histogram(three)
    whole = histogram(np.concatenate([one, two, three]))
    assert same(merge(merge(a, b), c), whole)
    assert same(merge(a, merge(b, c)), whole)
    assert same(merge(b, a), merge(a, b))


@given(VALUES)
def test_every_value_is_counted_within_bounded_bins(values):
    counted = histogram(values)
    assert counted.total == values.size
    assert len(counted.counts) <= BINS
    assert (counted.counts >= 0).all()
    edges = counted.edges()
    assert edges[0] <= counted.low <= counted.high < edges[-1] or counted.low == counted.high == 0


@given(VALUES, st.sampled_from(["min-max", "percentile", "entropy"]), st.floats(90, 100))
def test_a_range_holds_zero_and_lies_within_all_values(values, method, percentile):
    low, high = clipped_range(histogram(values), method, percentile)
    assert low <= 0 <= high
    assert low < high
    assert low >= min(0.0, float(values.min()))
    assert high <= max(1e-6, float(values.max()))
