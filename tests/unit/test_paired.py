"""Paired statistics: against published worked examples, their own equations, and simulated coverage."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial, norm

from converters.verify.paired import (
    mcnemar_exact,
    needed_items,
    pair_counts,
    pair_hits,
    score_interval,
)


@pytest.mark.parametrize(
    ("first_only", "second_only", "n", "confidence", "low", "high"),
    [
        # Airway reactivity before and after a transplantation (Bentur et al. 2009) and response before and
        # after a therapy (Cavo et al. 2012), as worked out in Fagerland, Lydersen and Laake 2014,
        # Statistics in Medicine 33:2850-2875, and in their book, chapter 8.
        (1, 7, 21, 0.95, -0.517, -0.026),
        (6, 16, 161, 0.95, -0.1240, -0.0054),
        # The matched opinions of Agresti, An Introduction to Categorical Data Analysis, section 8.1,
        # as R's PropCIs has them.
        (132, 107, 1144, 0.95, -0.0047, 0.0485),
        (28, 25, 618, 0.90, -0.0148, 0.0247),
    ],
)
def test_the_interval_of_published_examples(first_only, second_only, n, confidence, low, high):
    digits = 3 if n == 21 else 4
    got = score_interval(first_only, second_only, n, confidence)
    assert [round(each, digits) for each in got] == [low, high]


def score(first_only: int, second_only: int, n: int, difference: float) -> float:
    """Tango's statistic, its nuisance found by maximising the likelihood on a grid, not by his root."""
    least = max(0.0, -difference)
    q = np.linspace(least, (1 - difference) / 2, 2_000_001)[1:-1]
    likelihood = (
        first_only * np.log(q + difference)
        + second_only * np.log(q)
        + (n - first_only - second_only) * np.log(1 - 2 * q - difference)
    )
    best = q[likelihood.argmax()]
    return (first_only - second_only - n * difference) / math.sqrt(
        n * (2 * best + difference * (1 - difference))
    )


@pytest.mark.parametrize(("first_only", "second_only", "n"), [(3, 9, 50), (40, 31, 400), (1, 0, 30)])
def test_at_its_ends_the_score_test_just_refuses(first_only, second_only, n):
    low, high = score_interval(first_only, second_only, n)
    assert score(first_only, second_only, n, low) == pytest.approx(norm.ppf(0.975), abs=2e-3)
    assert score(first_only, second_only, n, high) == pytest.approx(norm.ppf(0.025), abs=2e-3)


@pytest.mark.parametrize("n", [1, 20, 10_000])
def test_models_that_never_differ_have_an_interval_all_the_same(n):
    z = norm.ppf(0.975)
    # 0 of n, with Wilson's upper end (Wilson 1927), to either side.
    assert score_interval(0, 0, n) == pytest.approx((-z * z / (n + z * z), z * z / (n + z * z)))


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200)).filter(sum)


@given(COUNTS)
def test_laws_of_the_figures(counts):
    first_only, second_only, rest = counts
    n = first_only + second_only + rest
    got, turned = pair_counts(first_only, second_only, n), pair_counts(second_only, first_only, n)
    ordered = (-1, got.low, got.lower_bound, got.difference, got.upper_bound, got.high, 1)
    assert all(one <= other + 1e-9 for one, other in pairwise(ordered))
    assert (turned.difference, turned.p_value) == (-got.difference, got.p_value)
    assert (turned.low, turned.upper_bound) == pytest.approx((-got.high, -got.lower_bound), abs=1e-9)


@given(COUNTS)
def test_the_interval_near_a_count_is_near_its_own(counts):
    """No jump where the estimate's variance vanishes: one item more moves an end by little more than 1/n."""
    first_only, second_only, rest = counts
    n = first_only + second_only + rest + 100
    here, there = score_interval(first_only, second_only, n), score_interval(first_only + 1, second_only, n)
    assert all(0 <= other - one < 3 / n for one, other in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("only_first", "only_second", "slack"),
    # The last: 1.5 items expected to differ, where counts are too coarse to be exact and it errs wide.
    [(0.005, 0.005, 0.01), (0.004, 0.009, 0.01), (0.05, 0.02, 0.005), (0.0005, 0.001, 0.05)],
)
def test_intervals_cover_the_truth_as_often_as_they_say(only_first, only_second, slack):
    """Not drawn but summed: every likely outcome of 1,000 items, with its chance."""
    n, truth = 1000, only_first - only_second
    most = [int(binom.isf(1e-7, n, share)) + 1 for share in (only_first, only_second)]
    first, second = (axis.ravel() for axis in np.mgrid[0 : most[0], 0 : most[1]])
    shares = (only_first, only_second, 1 - only_first - only_second)
    chances = multinomial.pmf(np.stack([first, second, n - first - second], 1), n, shares)
    two_sided = above = below = 0.0
    for b, c, chance in zip(first.tolist(), second.tolist(), chances.tolist(), strict=True):
        (low, high), (lower, upper) = score_interval(b, c, n), score_interval(b, c, n, 0.9)
        two_sided += chance * (low <= truth <= high)
        above += chance * (truth <= upper)
        below += chance * (truth >= lower)
    assert chances.sum() == pytest.approx(1, abs=1e-5)
    assert two_sided == pytest.approx(0.95, abs=slack)
    assert (above, below) == pytest.approx((0.95, 0.95), abs=2 * slack)


def test_hits_are_paired_item_by_item():
    first = np.array([True, True, True, False, False, True])
    second = np.array([True, False, False, True, False, False])
    got = pair_hits(first, second)
    assert (got.n, got.first_only, got.second_only) == (6, 3, 1)
    assert got == pair_counts(3, 1, 6)
    assert got.difference == pytest.approx(first.mean() - second.mean())


def test_pairing_tells_what_two_separate_intervals_cannot():
    """10,000 items at 90% and 89.4%: Wilson's intervals overlap, the paired one is clear of 0."""
    got = pair_counts(100, 40, 10_000)
    assert got.low > 0.003
    assert got.p_value < 1e-5
    wilson = [1.96 * math.sqrt(p * (1 - p) / 10_000) for p in (0.9, 0.894)]
    assert 0.9 - wilson[0] < 0.894 + wilson[1]


@pytest.mark.parametrize(
    ("first_only", "second_only", "p_value"),
    # Two culture media (Armitage and Berry 1994, p. 127); Bentur et al. 2009 in Fagerland et al. 2013,
    # BMC Medical Research Methodology 13:91; nothing that differs.
    [(12, 2, 0.0129), (1, 7, 0.0703), (0, 0, 1.0), (5, 5, 1.0)],
)
def test_mcnemar_s_exact_test_of_published_examples(first_only, second_only, p_value):
    assert round(mcnemar_exact(first_only, second_only), 4) == p_value


def test_the_number_of_items_of_connor_s_formula():
    # Discordant shares 0.45 and 0.05: 22.01 pairs, so 23.
    assert needed_items(0.4, 0.5) == needed_items(-0.4, 0.5) == 23


@pytest.mark.parametrize(("difference", "disagreement"), [(0.02, 0.06), (0.01, 0.05), (0.05, 0.2)])
def test_with_as_many_items_the_difference_is_seen_in_four_of_five_tries(difference, disagreement):
    n = needed_items(difference, disagreement)
    more, less = (disagreement + difference) / 2, (disagreement - difference) / 2
    drawn = np.random.default_rng(1).multinomial(n, (more, less, 1 - disagreement), 20_000)
    statistic = (drawn[:, 0] - drawn[:, 1]) / np.sqrt(np.maximum(drawn[:, 0] + drawn[:, 1], 1))
    assert (np.abs(statistic) > norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize("counts", [(1, 1, 1), (-1, 2, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="counts"):
        pair_counts(*counts)


def test_hits_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        pair_hits(np.zeros(3, bool), np.zeros(4, bool))


@pytest.mark.parametrize("given", [(0.0, 0.1), (0.2, 0.1), (0.1, 1.1)])
def test_differences_that_cannot_be_need_no_items(given):
    with pytest.raises(ValueError, match="disagreement"):
        needed_items(*given)
