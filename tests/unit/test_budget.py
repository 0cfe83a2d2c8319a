"""The choice of an architecture by a budget: pure, with costs and trials that are functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.distill.architecture import Cost
from converters.recipe import (
    Budget,
    ConvNetwork,
    MlpNetwork,
    Network,
    ResNetwork,
    SeparableNetwork,
)
from converters.search.budget import choose, excess, ladder, scaled_network, widest_fitting
from edgeinfer.errors import ConversionError

RESNET, DEEP = ResNetwork(), ResNetwork(blocks=(2, 2, 2))
FAMILIES: list[Network] = [
    ConvNetwork(16, (1, 2)),
    RESNET,
    SeparableNetwork(32, (32, 64), (2, 2), width=0.5),
    MlpNetwork((64, 32)),
]


def cost(network: Network) -> Cost:
    """Grows with the widths: a byte a channel squared, a microsecond a channel."""
    assert isinstance(network, ResNetwork)
    depth = sum(network.blocks)
    size = depth * sum(width**2 for width in network.widths)
    return Cost(size, size, size + 100, float(depth * sum(network.widths)))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda each: each.kind)
def test_a_ladder_grows_and_holds_each_network_once(family):
    rungs = ladder(family)
    assert len(rungs) == len(set(rungs)) > 15
    assert scaled_network(family, 1.0) in rungs
    sizes = [sum(_widths(each)) for each in rungs]
    assert sizes == sorted(sizes)


def _widths(network: Network) -> tuple[int, ...]:
    match network:
        case ConvNetwork():
            return (network.width,)
        case MlpNetwork():
            return network.hidden
        case ResNetwork() | SeparableNetwork():
            return (network.stem, *network.widths)
    raise AssertionError(network)


@settings(max_examples=60)
@given(limit=st.integers(1, 400_000), slow=st.floats(0.001, 2.0) | st.none())
def test_the_widest_that_fits_is_found_in_few_measurements(limit, slow):
    budget = Budget((RESNET,), limit, slow)
    rungs = ladder(RESNET)
    calls: list[Network] = []
    found = widest_fitting(rungs, lambda network: calls.append(network) or cost(network), budget)
    assert len(calls) <= len(rungs).bit_length()
    fitting = [each for each in rungs if excess(cost(each), budget) <= 1]
    if fitting:
        assert found[0].network == fitting[-1]
    else:
        assert all(excess(each.cost, budget) > 1 for each in found)


def test_the_best_trial_wins_and_every_measurement_is_kept():
    budget = Budget((RESNET, DEEP), max_bytes=20_000)
    chosen = choose(budget, cost, lambda network: 0.85 if sum(network.blocks) == 6 else 0.8)
    assert sum(chosen.network.blocks) == 6
    assert chosen.candidates[0].network == chosen.network
    assert [each.validation for each in chosen.candidates[:2]] == [0.85, 0.8]
    assert len(chosen.candidates) > 6
    assert all(each.cost.bytes <= 20_000 for each in chosen.candidates[:2])


def test_only_the_allowed_number_of_trials_is_made_and_the_larger_are_preferred():
    tried: list[Network] = []
    budget = Budget((RESNET, DEEP), max_bytes=20_000, trials=1)
    choose(budget, cost, lambda network: tried.append(network) or 0.5)
    assert len(tried) == 1


def test_a_budget_that_nothing_meets_names_the_nearest_and_what_it_lacks():
    with pytest.raises(ConversionError) as caught:
        choose(Budget((RESNET, DEEP), max_bytes=100, max_latency_ms=0.001), cost, lambda _: 1.0)
    message = str(caught.value)
    assert "no student of 2 families meets the budget; the nearest is" in message
    assert "expected 100 bytes and 0.001 ms" in message
    assert "'widths': [4, 4, 8]" in message
    assert "raise student.budget" in message


def test_scaling_rounds_to_multiples_of_four_and_keeps_the_rest():
    assert scaled_network(RESNET, 1.1) == replace(RESNET, stem=16, widths=(16, 36, 72))
    assert scaled_network(
        SeparableNetwork(64, (64,), (4,), (10, 4), (2, 2), width=0.5), 1.0
    ) == SeparableNetwork(32, (32,), (4,), (10, 4), (2, 2))


def test_shares_of_the_budget_are_tried_too_and_nothing_is_measured_twice():
    calls: list[Network] = []
    budget = Budget((RESNET,), max_bytes=20_000, shares=(1.0, 0.5, 0.1))
    chosen = choose(budget, lambda network: calls.append(network) or cost(network), lambda _: 0.5)
    assert len(calls) == len(set(calls))
    tried = [each for each in chosen.candidates if each.validation is not None]
    assert [each.cost.bytes <= limit for each, limit in zip(tried, (20_000, 10_000, 2_000), strict=True)] == [
        True
    ] * 3
    assert tried[0].cost.bytes > 10_000 > tried[1].cost.bytes > 2_000
