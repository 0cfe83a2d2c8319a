"""Laws of policies that come from afar: they only ever take away."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.bundle import Crop, Downscale, StripMetadata
from edgeinfer.errors import PolicyError
from edgeinfer.fallback import MODES, CacheLimits, Policy, QueueLimits, RemotePolicy, tightened

# What `str.isprintable` takes: no controls, surrogates or unknown characters, and of separators the space alone.
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=3)
shares = st.floats(0, 1)
durations = st.floats(0.001, 1e9)
bools = st.booleans()
reductions = st.lists(
    st.one_of(
        st.builds(Downscale, st.integers(1, 4096)),
        st.builds(Crop, st.just(0.25), st.just(0.0), st.just(1.0), shares.filter(lambda share: share > 0)),
        st.just(StripMetadata()),
    ),
    max_size=3,
).map(tuple)
policies = st.builds(
    Policy,
    mode=st.sampled_from(MODES),
    offline=bools,
    threshold=st.none() | shares,
    deadline_ms=durations,
    least_cloud_ms=durations,
    max_escalations_per_hour=st.integers(0, 1000),
    metered=bools,
    min_battery=shares,
    max_wait_ms=st.none() | durations,
    cloud_when_throttled=bools,
    default=st.none() | texts,
    cache=st.none() | st.builds(CacheLimits, st.integers(1, 1000), durations),
    queue=st.none() | st.builds(QueueLimits, st.integers(1, 1000), durations),
    reduce=reductions,
    consent_version=st.sampled_from(["1", "2"]) | texts,
)
remotes = st.builds(
    RemotePolicy,
    mode=st.none() | st.sampled_from(MODES),
    threshold=st.none() | shares,
    max_escalations_per_hour=st.none() | st.integers(0, 2000),
    metered=st.none() | bools,
    cache=st.none() | bools,
    queue=st.none() | bools,
    reduce=reductions,
)
# Which of two values allows more: the second, or neither.
STRICTER = {
    "mode": lambda new, old: MODES.index(new) <= MODES.index(old),
    "threshold": lambda new, old: new == old or (new is not None and old is not None and new < old),
    "max_escalations_per_hour": lambda new, old: 0 <= new <= old,
    "metered": lambda new, old: old or not new,
    "cache": lambda new, old: new is None or new == old,
    "queue": lambda new, old: new is None or new == old,
    "reduce": lambda new, old: new[: len(old)] == old,
}
WITHOUT_ORDER = [name for name in STRICTER if name != "reduce"]


@given(policies, remotes)
def test_what_comes_from_afar_never_loosens_anything(policy, remote):
    made = tightened(policy, remote)
    for field in fields(Policy):
        new, old = getattr(made, field.name), getattr(policy, field.name)
        assert STRICTER.get(field.name, lambda one, other: one == other)(new, old), field.name


@given(policies, remotes)
def test_what_it_asks_for_holds(policy, remote):
    made = tightened(policy, remote)
    if remote.mode is not None:
        assert MODES.index(made.mode) <= MODES.index(remote.mode)
    if remote.threshold is not None and made.threshold is not None:
        assert made.threshold <= remote.threshold
    if remote.max_escalations_per_hour is not None:
        assert made.max_escalations_per_hour <= remote.max_escalations_per_hour
    assert not (remote.metered is False and made.metered)
    assert not (remote.cache is False and made.cache is not None)
    assert not (remote.queue is False and made.queue is not None)
    # In their order behind the app's own, but for those that are taken already.
    added = tuple(each for each in remote.reduce if each not in policy.reduce)
    assert made.reduce == policy.reduce + added
    assert set(made.reduce) == {*policy.reduce, *remote.reduce}


@given(policies)
def test_one_that_asks_for_nothing_changes_nothing(policy):
    assert tightened(policy, RemotePolicy()) == policy
    assert tightened(policy, RemotePolicy("only_in_cloud", 1.0, 2000, True, True, True)) == policy


@given(policies, remotes)
def test_tightening_again_by_the_same_changes_nothing(policy, remote):
    once = tightened(policy, remote)
    assert tightened(once, remote) == once
    assert tightened(once, remote).digest == once.digest


@given(policies, remotes, remotes)
def test_tightening_by_two_in_turn_for_ever_changes_nothing_either(policy, one, other):
    both = tightened(tightened(policy, one), other)
    assert tightened(tightened(both, one), other) == both


@given(policies, remotes)
def test_what_is_taken_from_pictures_already_is_not_taken_twice(policy, remote):
    assert tightened(policy, replace(remote, reduce=policy.reduce)).reduce == policy.reduce


@given(policies, remotes)
def test_what_comes_of_it_is_a_policy_with_a_digest(policy, remote):
    assert len(tightened(policy, remote).digest) == 64


@given(
    st.sampled_from(["threshold", "max_escalations_per_hour"]),
    st.integers(max_value=-1)
    | st.floats(max_value=-1e-9)
    | st.just(float("nan"))
    | st.text(max_size=3)
    | bools,
)
def test_a_number_from_afar_that_is_none_is_refused_when_it_is_made(name, value):
    with pytest.raises(PolicyError):
        RemotePolicy(**{name: value})


@given(policies, remotes, remotes)
def test_the_order_of_two_does_not_matter(policy, one, other):
    first, second = tightened(tightened(policy, one), other), tightened(tightened(policy, other), one)
    for name in WITHOUT_ORDER:
        assert getattr(first, name) == getattr(second, name), name
    assert set(first.reduce) == set(second.reduce)


@given(policies, remotes)
def test_a_stricter_policy_of_the_app_s_own_stays_the_stricter(policy, remote):
    made, open_ = tightened(policy, remote), replace(policy, mode="only_in_cloud", metered=True)
    looser = tightened(open_, remote)
    assert MODES.index(made.mode) <= MODES.index(looser.mode)
    assert looser.metered or not made.metered
