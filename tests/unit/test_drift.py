"""Features and bins: the formulas by other means, and the rules at their borders."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from edgeinfer.bundle import BlobSet, Feature, InputStatistic, PredictedClass, Projection, TopConfidence
from edgeinfer.drift import (
    count_symbols,
    feature_symbols,
    feature_values,
    freeze_edges,
    group_classes,
    statistic,
    symbols_of,
)
from edgeinfer.testing import sample_manifest

PICTURES = np.random.default_rng(0).normal(0.3, 2, (5, 3, 7, 6)).astype(np.float32)
VALUES = arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e6, 1e6))


def test_statistics_are_their_formulas():
    for at, item in enumerate(PICTURES.astype(float)):
        flat = [float(value) for value in item.ravel()]
        mean = math.fsum(flat) / len(flat)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in flat) / len(flat))
        grey = item.sum(0) / 3
        edges = ndimage.convolve(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])[1:-1, 1:-1]
        expected = {
            "mean": mean,
            "deviation": spread,
            "minimum": min(flat),
            "maximum": max(flat),
            "contrast": np.sqrt(((grey - grey.mean()) ** 2).mean()),
            "sharpness": ((edges - edges.mean()) ** 2).mean(),
        }
        for name, value in expected.items():
            assert statistic(name, PICTURES)[at] == pytest.approx(value, rel=1e-12), name
        assert statistic("element", PICTURES, 50)[at] == flat[50]
        assert statistic("channel_mean", PICTURES, 2)[at] == pytest.approx(item[2].mean(), rel=1e-12)


@pytest.mark.parametrize("name", ["mean", "channel_mean", "contrast", "sharpness"])
def test_a_picture_s_layout_does_not_matter(name):
    index = 1 if name == "channel_mean" else None
    last = statistic(name, PICTURES.transpose(0, 2, 3, 1), index, channels_last=True)
    np.testing.assert_allclose(last, statistic(name, PICTURES, index), rtol=1e-12)


def test_an_unknown_statistic_and_nan_are_not_numbers():
    with pytest.raises(ValueError, match="mood"):
        statistic("mood", PICTURES)
    broken = PICTURES.copy()
    broken[1, 0, 0, 0] = np.nan
    assert list(np.isnan(statistic("mean", broken))) == [False, True, False, False, False]


def test_an_edge_belongs_to_the_bin_above_it_and_nothing_lies_outside():
    values = np.array([-np.inf, -1, 0, 0.5, 1, 7, np.inf, np.nan])
    found = symbols_of(values, (0.0, 1.0))
    assert list(found) == [0, 0, 1, 1, 2, 2, 2, -1]
    assert count_symbols(found, 3) == (2, 2, 3)


@given(VALUES, st.integers(2, 10))
def test_every_value_has_a_symbol_whatever_order_it_was_summed_in(values, symbols):
    edges = freeze_edges(values, symbols)
    assert 1 <= len(edges) <= max(2, symbols - 1)
    assert all(low < high for low, high in pairwise(edges))
    found = symbols_of(values, edges)
    assert sum(count_symbols(found, len(edges) + 1)) == len(values)
    # A few units in the last place, as another order of summation gives, change no symbol.
    for factor in (1 - 1e-13, 1 + 1e-13):
        np.testing.assert_array_equal(symbols_of(values * factor, edges), found)


@given(st.integers(20, 500), st.integers(2, 10))
def test_bins_of_distinct_values_hold_equal_shares(count, symbols):
    values = np.random.default_rng(count).normal(size=count)
    edges = freeze_edges(values, symbols)
    counts = count_symbols(symbols_of(values, edges), symbols)
    assert max(counts) - min(counts) <= 1
    assert all(len(repr(edge)) <= 22 for edge in edges)


def test_a_constant_has_a_bin_of_its_own_and_one_on_either_side():
    edges = freeze_edges(np.full(30, 5.0), 10)
    assert count_symbols(symbols_of(np.full(30, 5.0), edges), 3) == (0, 30, 0)
    assert list(symbols_of(np.array([4.9, 5.1]), edges)) == [0, 2]
    assert freeze_edges(np.array([0.0] * 99 + [1.0]), 10) == (0.5,), "no more bins than values"
    with pytest.raises(ValueError, match="no finite value"):
        freeze_edges(np.array([np.nan, np.inf]), 4)


def test_of_many_classes_the_rare_ones_share_a_symbol():
    assert group_classes(np.array([3, 1, 2]), 10) == (0, 1, 2)
    counts = np.array([5, 9, 1, 9, 0])
    assert group_classes(counts, 3) == (2, 0, 2, 1, 2), "likeliest first, equal ones by index"
    assert group_classes(np.zeros(12, int), 10)[:9] == tuple(range(9))
    assert set(group_classes(np.arange(1000), 10)) == set(range(10))


def test_features_of_a_manifest_are_computed_from_what_went_in_and_came_out():
    manifest = sample_manifest(BlobSet())
    image = np.linspace(-1, 1, 48, dtype=np.float32).reshape(3, 1, 4, 4)
    logits = np.array([[2, 0], [0, 1], [1, 1]], np.float32)
    inputs, outputs = {"image": image}, {"logits": logits}

    def values(measure):
        return list(feature_values(measure, manifest, inputs, outputs))

    assert values(InputStatistic("image", "element", 3)) == [float(item.ravel()[3]) for item in image]
    assert values(PredictedClass()) == [0, 1, 0]
    # The sample's temperature is 0.5.
    expected = [1 / (1 + math.exp(-4)), 1 / (1 + math.exp(-2)), 0.5]
    assert values(TopConfidence()) == pytest.approx(expected, rel=1e-12)
    assert values(Projection("logits", (0.5, -1.0))) == [1.0, -1.0, -0.5]
    for feature in manifest.drift.features:
        found = feature_symbols(feature, manifest, inputs, outputs)
        assert found.shape == (3,)
        assert set(found) <= set(range(len(feature.counts)))


def test_an_answer_that_is_nan_has_no_symbol():
    manifest = sample_manifest(BlobSet())
    outputs = {"logits": np.array([[np.nan, 1], [0, 1]], np.float32)}
    inputs = {"image": np.zeros((2, 1, 4, 4), np.float32)}
    groups = Feature("class", PredictedClass(), (1, 1), groups=(1, 0))
    assert list(feature_symbols(groups, manifest, inputs, outputs)) == [-1, 0]
    sure = Feature("confidence", TopConfidence(), (1, 1), edges=(0.5,))
    assert list(feature_symbols(sure, manifest, inputs, outputs)) == [-1, 1]
