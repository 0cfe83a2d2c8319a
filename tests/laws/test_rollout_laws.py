"""Rollouts: ramping up only adds, ramping down removes the last, what is kept decides, a veto wins, counts add up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgeinfer as ei
from edgeinfer.flags import ramped, read_document
from edgeinfer.flags.evaluation import resolve
from edgeinfer.flags.percentages import POSITIONS, chosen_at
from edgeinfer.host import Surroundings
from edgeinfer.inference.health import Health
from edgeinfer.rollout import (
    Observed,
    ShadowLimits,
    ShadowReport,
    choose,
    choose_shadow,
    model_flag,
    shadow_flag,
    verdict,
)
from edgeinfer.rollout.comparing import Comparison
from edgeinfer.rollout.shadow_limits import hindrance, rest_s
from edgeinfer.rollout.shadow_report import BINS, keep_report, merged, shadow_reports, with_comparison
from edgeinfer.store import Home

PERCENTS = st.integers(0, 100_000).map(lambda each: each / 1000)
PLACES = st.integers(0, POSITIONS - 1)
FLAG = {"state": "ENABLED", "variants": {"new": "n", "old": "o"}, "defaultVariant": "old"}
DIGESTS = st.sampled_from([letter * 64 for letter in "abc"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | DIGESTS,
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["digest", "sample", "x"]), each)
    ),
    max_leaves=6,
)


def released(percent: float, *, control: bool = True) -> dict[str, Any]:
    return ramped({"flags": {"model": FLAG}}, "model", percent, "new", control=control)


def share(percent: float, position: int, *, control: bool = True) -> str:
    rule = released(percent, control=control)["flags"]["model"]["targeting"]["fractional"]
    place = chosen_at(position, [weight for _, weight in rule])
    assert place is not None
    return rule[place][0]


@given(PERCENTS, PERCENTS, PLACES, st.booleans())
def test_a_ramp_up_only_adds(one, other, position, control):
    low, high = sorted((one, other))
    before, after = (share(each, position, control=control) for each in (low, high))
    if before == "new" or (before == "control" and high <= 50):
        assert after == before


@given(PERCENTS, PLACES, PLACES)
def test_a_ramp_down_removes_those_that_came_last(percent, one, other):
    first, last = sorted((one, other))
    if share(percent, last) == "new":
        assert share(percent, first) == "new"
    if share(percent, first) == "control":
        assert share(percent, last) == "control"


@given(PERCENTS)
def test_variant_and_control_are_of_one_size_up_to_a_half(percent):
    rule = released(percent)["flags"]["model"]["targeting"]["fractional"]
    (_, new), (_, rest), (_, control) = rule
    assert new + rest + control == 100_000
    assert control == min(new, 100_000 - new)


@given(PERCENTS, PLACES, st.dictionaries(st.sampled_from(["targetingKey", "x"]), st.text(max_size=9)))
def test_what_is_kept_decides_whatever_the_context(percent, position, context):
    flag = {**released(percent)["flags"]["model"], "metadata": {"rollout": "r1"}}
    definition = read_document(json.dumps({"flags": {"model": flag}}).encode()).flags["model"]
    found = resolve(definition, context, 0.0, position)
    assert (found.variant, found.position) == (share(percent, position), position)


@given(JSON, st.frozensets(DIGESTS | st.just("")), st.sampled_from(["ENABLED", "DISABLED", "?"]), JSON)
def test_a_veto_always_wins_and_nothing_raises(value, vetoed, state, rollout):
    for key in ("model-vision", "shadow-vision"):
        flag = {
            "state": state,
            "variants": {"v": value},
            "defaultVariant": "v",
            "metadata": {"rollout": rollout},
        }
        flags = ei.Flags(bundled=json.dumps({"flags": {key: flag}}).encode())
        choice = choose(flags.details(model_flag("vision")), vetoed)
        assert choice.digest is None or choice.digest not in vetoed
        assert choice.digest in (None, "", value)
        assert choice.reason
        shadow = choose_shadow(flags.details(shadow_flag("vision")), vetoed, running="a" * 64)
        assert shadow.digest is None or shadow.digest not in {*vetoed, "a" * 64}
        assert 0 <= shadow.sample <= 1
        assert shadow.reason


COMPARISONS = st.builds(
    Comparison, st.booleans(), st.none() | st.floats(-1, 1), st.integers(0, 10**13), st.integers(0, 10**13)
)
COUNTS = st.dictionaries(st.sampled_from(["busy", "cpu", "EngineRunError"]), st.integers(1, 50))


@st.composite
def reports(draw: Any) -> ShadowReport:
    report = ShadowReport("a" * 64, "b" * 64, errors=draw(COUNTS), dropped=draw(COUNTS),
                          stopped=draw(st.sampled_from(["", "load", "errors"])))  # fmt: skip
    for each in draw(st.lists(COMPARISONS, max_size=4)):
        report = with_comparison(report, each)
    return report


def same(one: ShadowReport, other: ShadowReport) -> bool:
    return one.difference_sum == pytest.approx(other.difference_sum) and replace(
        one, difference_sum=0.0
    ) == replace(other, difference_sum=0.0)


@given(reports(), reports(), reports())
def test_reports_add_up_in_any_order(one, two, three):
    assert same(merged(one, two), merged(two, one))
    assert same(merged(merged(one, two), three), merged(one, merged(two, three)))
    assert same(merged(one, ShadowReport("a" * 64, "b" * 64)), one)


@given(st.lists(COMPARISONS, max_size=20))
def test_a_report_counts_every_item_once(found):
    report = ShadowReport("a", "b")
    for each in found:
        report = with_comparison(report, each)
    assert report.compared == len(found) == sum(report.current_runs.values())
    assert report.agreed == sum(each.agreed for each in found)
    told = [each.difference for each in found if each.difference is not None]
    assert (sum(report.differences), len(report.differences)) == (len(told), BINS)
    if told:
        assert report.mean_difference == pytest.approx(sum(told) / len(told))


def test_a_report_is_read_as_it_was_written(tmp_path_factory):
    with Home(tmp_path_factory.mktemp("home")) as home:

        @given(reports())
        def back(report):
            home.rows("DELETE FROM shadows")
            keep_report(home, report)
            assert shadow_reports(home) == [report]
            keep_report(home, report)
            assert same(shadow_reports(home)[0], merged(report, report))

        back()


@given(st.floats(1e-6, 1e3), st.floats(0.001, 1.0))
def test_work_is_a_share_of_the_time(took, cpu_share):
    assert took / (took + rest_s(took, cpu_share)) == pytest.approx(cpu_share)


@given(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, True, False]), st.integers(0, 100),
    st.integers(0, 100), st.integers(0, 100),
)  # fmt: skip
def test_more_power_and_more_memory_hinder_nothing(charge, more, charging, resident, needs, less):
    limits = ShadowLimits(memory_bytes=100)
    if not hindrance(limits, Surroundings("unknown", charge, charging), resident, needs):
        better = Surroundings("unknown", max(charge, more), charging)
        assert not hindrance(limits, better, max(0, resident - less), needs)
        assert not hindrance(limits, Surroundings(), None, needs)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 5000), st.integers(0, 9), st.integers(0, 9))
def test_what_stops_a_bundle_stops_it_when_there_is_more_of_it(errors, more, runs, deaths, failed):
    def found(errors: int, deaths: int, failed: int) -> bool:
        health = Health(
            runs, errors, 1.0, 1.0, 1.0, 1.0, None, None, None, None, runs, 0, 0, 0, 0, shedding=False
        )
        return verdict(Observed(health, deaths=deaths, failed_answers=failed)) is not None

    if found(errors, deaths, failed):
        assert found(errors + more, deaths + more, failed + more)
