"""Laws of the decision: privacy only ever tightens, every call ends, and the cheap half of the signals suffices."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.fallback import (
    MODES,
    Local,
    Policy,
    QueueLimits,
    RemotePolicy,
    Route,
    Signals,
    decide,
    tightened,
)
from edgeinfer.fallback.deciding import may_answer_at_once, needs_more, stays

SHARES = st.floats(0, 1)
TIMES = st.sampled_from([-1.0, 0.0, 0.5, 49.0, 51.0, 5000.0])
POLICIES = st.builds(
    Policy,
    mode=st.sampled_from(MODES),
    offline=st.booleans(),
    threshold=st.none() | SHARES,
    least_cloud_ms=st.sampled_from([0.0, 50.0]),
    max_escalations_per_hour=st.integers(0, 3),
    metered=st.booleans(),
    min_battery=SHARES,
    max_wait_ms=st.none() | st.sampled_from([0.0, 100.0]),
    cloud_when_throttled=st.booleans(),
    default=st.none() | st.just("nothing"),
    queue=st.none() | st.just(QueueLimits()),
)
REMOTES = st.builds(
    RemotePolicy,
    mode=st.none() | st.sampled_from(MODES),
    threshold=st.none() | SHARES,
    max_escalations_per_hour=st.none() | st.integers(0, 3),
    metered=st.none() | st.booleans(),
    queue=st.none() | st.booleans(),
)
SIGNALS = st.builds(
    Signals,
    left_ms=TIMES,
    run_ms=st.sampled_from([0.0, 1.0, 200.0]),
    wait_ms=st.sampled_from([0.0, 1.0, 200.0]),
    throttled=st.booleans(),
    needs_local=st.booleans(),
    consent=st.booleans(),
    network=st.sampled_from(["none", "metered", "unmetered", "unknown"]),
    battery=st.none() | SHARES,
    charging=st.none() | st.booleans(),
    circuit=st.sampled_from(["", "the cloud is left alone"]),
    escalations=st.integers(0, 3),
    cached=st.booleans(),
    may_wait=st.booleans(),
)
# What comes of asking: the device's confidence (None for a model without one), its failure, or the cloud's failure.
LOCALS = st.builds(Local, st.none() | SHARES, st.just("")) | st.just(Local(None, "the engine failed"))
CLOUDS = st.sampled_from(["", "status 503"])


def routes(signals: Signals, policy: Policy, local: Local, cloud: str) -> list[Route]:
    """Follow a call to its end; the device and the cloud give what they give whenever they are asked."""
    taken: list[Route] = []
    while not taken or taken[-1].to in ("device", "cloud"):
        assert len(taken) < 4, "a call ends"
        taken.append(decide(signals, policy))
        if taken[-1].to == "device":
            signals = replace(signals, local=local)
        elif taken[-1].to == "cloud":
            if not cloud:
                break
            signals = replace(signals, cloud=cloud)
    return taken


def leaves(taken: list[Route]) -> bool:
    """Whether something of the call is sent, now or later."""
    return any(route.to == "cloud" or route.wait for route in taken)


@given(SIGNALS, POLICIES, LOCALS, CLOUDS)
def test_every_call_ends_in_an_answer_a_default_or_a_failure_and_says_why(signals, policy, local, cloud):
    taken = routes(signals, policy, local, cloud)
    last = taken[-1]
    assert last.to in ("keep", "cloud", "cache", "default", "fail")
    assert all(route.reason and route.why for route in taken)
    assert len({route.to for route in taken}) == len(taken), "nothing is asked twice"
    if last.to == "keep":
        assert not local.error
        assert any(route.to == "device" for route in taken)
    if last.to in ("default", "fail"):
        assert (last.to == "default") == (policy.default is not None)
        assert not signals.cached or not local.error, "an earlier answer goes before none"


@given(SIGNALS, POLICIES, LOCALS, CLOUDS)
def test_only_on_device_and_calls_without_consent_never_send(signals, policy, local, cloud):
    assert not leaves(routes(signals, replace(policy, mode="only_on_device"), local, cloud))
    assert not leaves(routes(replace(signals, consent=False), policy, local, cloud))


@given(SIGNALS, POLICIES, LOCALS, CLOUDS)
def test_offline_asks_no_server(signals, policy, local, cloud):
    taken = routes(signals, replace(policy, offline=True), local, cloud)
    assert all(route.to != "cloud" for route in taken)


@given(SIGNALS, POLICIES, REMOTES, LOCALS, CLOUDS)
def test_what_comes_from_afar_never_makes_a_call_leave_that_stayed(signals, policy, remote, local, cloud):
    if leaves(routes(signals, tightened(policy, remote), local, cloud)):
        assert leaves(routes(signals, policy, local, cloud))


@given(SIGNALS, POLICIES, LOCALS, CLOUDS)
def test_only_in_cloud_never_gives_the_device_s_answer(signals, policy, local, cloud):
    taken = routes(signals, replace(policy, mode="only_in_cloud"), local, cloud)
    assert all(route.to != "keep" for route in taken)


@given(SIGNALS, POLICIES, LOCALS | st.none(), st.none() | st.just("status 503"), SIGNALS)
def test_the_costly_signals_change_nothing_where_they_are_not_needed(signals, policy, local, cloud, other):
    """So that a confident local answer costs no look at files."""
    cheap = replace(signals, local=local, cloud=cloud)
    costly = {
        name: getattr(other, name)
        for name in (
            "consent",
            "network",
            "battery",
            "charging",
            "circuit",
            "escalations",
            "cached",
            "may_wait",
        )
    }
    if not needs_more(cheap, policy):
        assert decide(replace(cheap, **costly), policy) == decide(cheap, policy)


@given(SIGNALS, POLICIES)
def test_the_budget_of_escalations_is_never_exceeded(signals, policy):
    policy = replace(policy, mode="prefer_on_device")
    spent = replace(signals, escalations=policy.max_escalations_per_hour)
    for local in (Local(0.0), Local(None, "the engine failed")):
        assert all(route.to != "cloud" for route in routes(spent, policy, local, ""))


@given(SIGNALS, POLICIES, st.none() | SHARES)
def test_a_call_that_is_answered_at_once_is_one_that_the_decision_would_have_kept(
    signals, policy, confidence
):
    first = replace(signals, run_ms=0.0, wait_ms=0.0, left_ms=10_000.0, needs_local=False, throttled=False)
    if may_answer_at_once(policy):
        route = decide(first, policy)
        assert (route.to, route.reason) == ("device", policy.mode)
        route = decide(replace(first, local=Local(confidence)), policy)
        if stays(policy, confidence):
            assert (route.to, route.reason, route.wait) == ("keep", policy.mode, False)
        else:
            assert route.reason != policy.mode
