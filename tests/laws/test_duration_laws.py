"""Laws of the histogram of durations."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.inference.histogram import BUCKETS, DurationHistogram, bounds_of, bucket_of

durations = st.integers(min_value=0, max_value=2**40 - 1)


@given(durations)
def test_a_duration_lies_within_its_bucket_and_the_bucket_is_narrow(value):
    low, high = bounds_of(bucket_of(value))
    assert low <= value < high
    assert high - low <= max(1, value / 8)


def test_buckets_cover_everything_without_gap_or_overlap():
    bounds = [bounds_of(bucket) for bucket in range(BUCKETS)]
    assert bounds[0][0] == 0
    assert all(here[1] == there[0] for here, there in itertools.pairwise(bounds))
    assert bounds[-1][1] == 2**40
    assert bucket_of(2**60) == BUCKETS - 1
    assert bucket_of(-5) == 0


@given(st.lists(durations, min_size=1, max_size=200), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_within_a_sixteenth_of_the_value_at_its_rank(values, share):
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    rank = max(1, math.ceil(share * len(values) - 1e-9))
    exact = sorted(values)[rank - 1]
    found = histogram.quantile_ns(share)
    assert found is not None
    assert abs(found - exact) <= max(0.5, exact / 16)
    assert (histogram.count, histogram.largest_ns) == (len(values), max(values))


def test_an_empty_histogram_has_no_quantiles():
    assert DurationHistogram().quantile_ns(0.5) is None


@given(st.lists(st.integers(min_value=-5, max_value=2**45), max_size=50))
def test_counting_many_at_once_is_counting_each(values):
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    expected = [0] * BUCKETS
    for value in values:
        expected[bucket_of(value)] += 1
    assert list(histogram.counts()) == expected
