"""Policies from afar: read key by key, values in range and of their types, and what applying them takes away."""

from __future__ import annotations

from dataclasses import fields, replace
from math import inf, nan

import pytest

from edgeinfer.bundle import Crop, Downscale, StripMetadata
from edgeinfer.errors import PolicyError
from edgeinfer.fallback import (
    CacheLimits,
    Policy,
    QueueLimits,
    RemotePolicy,
    read_remote_policy,
    tightened,
)

OPEN = Policy(
    mode="only_in_cloud",
    threshold=0.75,
    metered=True,
    cache=CacheLimits(),
    queue=QueueLimits(),
    reduce=(Downscale(64), StripMetadata()),
)
CROP = Crop(0.0, 0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, RemotePolicy()),
        ({"mode": "only_on_device"}, RemotePolicy(mode="only_on_device")),
        (
            {"threshold": 1, "max_escalations_per_hour": 0},
            RemotePolicy(threshold=1.0, max_escalations_per_hour=0),
        ),
        ({"metered": False, "cache": False, "queue": None}, RemotePolicy(metered=False, cache=False)),
        ({"reduce": [{"op": "downscale", "longest": 9}]}, RemotePolicy(reduce=(Downscale(9),))),
    ],
)
def test_a_remote_policy_is_read_from_parsed_json(document, expected):
    assert read_remote_policy(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        None, [], "only_on_device", 1,
        {"moode": "only_on_device"}, {"offline": True}, {"consent_version": "1"}, {"mode": "nowhere"},
        {"threshold": "0.5"}, {"threshold": nan}, {"cache": 0}, {"cache": {"max_bytes": 1}}, {"metered": "false"},
        {"max_escalations_per_hour": True}, {"reduce": [{"op": "downscale"}]},
        {"reduce": [{"op": "downscale", "longest": 1, "more": 1}]}, {1: 2},
    ],
    ids=str,
)  # fmt: skip
def test_a_remote_policy_with_a_mistake_is_refused(document):
    with pytest.raises(PolicyError, match=r"^remote policy"):
        read_remote_policy(document)


OUT_OF_RANGE = {
    "mode": ["", "nowhere", "Only_on_device", 0, True, [], {}],
    "threshold": [-0.5, -0.001, 1.001, 1.5, nan, inf, "0.5", True, []],
    "max_escalations_per_hour": [-1, 10**16, 1.5, 1.0, nan, inf, "1", True, []],
    "metered": [0, 1, "false", "", [], 0.0],
    "cache": [0, 1, "false", "", [], CacheLimits()],
    "queue": [0, 1, "false", "", [], QueueLimits()],
    "reduce": [None, 5, "downscale", Downscale(8), ("downscale",)],
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_values_that_are_none_are_refused_by_their_name_when_it_is_made(name):
    said = {}
    for value in OUT_OF_RANGE[name]:
        try:
            said[repr(value)] = str(RemotePolicy(**{name: value}))
        except Exception as error:
            said[repr(value)] = f"{type(error).__name__}: {error}"
    expected = f"PolicyError: {name} of the remote policy: expected "
    assert {value: each for value, each in said.items() if not each.startswith(expected)} == {}


def test_every_field_has_values_that_are_none_in_these_tests():
    assert set(OUT_OF_RANGE) == {each.name for each in fields(RemotePolicy)}


@pytest.mark.parametrize(
    "document",
    [
        {"threshold": -0.5},
        {"threshold": 1.5},
        {"max_escalations_per_hour": -1},
        {"max_escalations_per_hour": 9007199254740993},
        {"mode": ""},
    ],
)
def test_a_remote_policy_that_could_not_be_applied_is_refused_when_it_is_read(document):
    with pytest.raises(PolicyError):
        read_remote_policy(document)


@pytest.mark.parametrize(
    "document",
    [
        {"threshold": 0},
        {"threshold": 1},
        {"max_escalations_per_hour": 0},
        {"max_escalations_per_hour": 10**15},
        {"mode": "only_in_cloud", "metered": True, "cache": True, "queue": True},
        {"mode": "only_on_device", "metered": False, "cache": False, "queue": False},
    ],
)
def test_a_remote_policy_that_is_read_can_be_applied(document):
    made = tightened(OPEN, read_remote_policy(document))
    assert made.threshold <= OPEN.threshold
    assert made.max_escalations_per_hour <= OPEN.max_escalations_per_hour
    assert len(made.digest) == 64


@pytest.mark.parametrize(
    ("own", "remote", "made"),
    [
        ((), (), ()),
        ((CROP,), (), (CROP,)),
        ((), (CROP,), (CROP,)),
        ((CROP,), (CROP,), (CROP,)),
        ((CROP,), (Downscale(8), CROP), (CROP, Downscale(8))),
        ((Downscale(64),), (Downscale(8),), (Downscale(64), Downscale(8))),
        ((Downscale(8), CROP), (StripMetadata(), CROP, Downscale(8)), (Downscale(8), CROP, StripMetadata())),
        ((CROP,), (replace(CROP, right=0.25),), (CROP, replace(CROP, right=0.25))),
        ((), (CROP, CROP), (CROP, CROP)),
        ((CROP, CROP), (CROP,), (CROP, CROP)),
    ],
)
def test_reductions_from_afar_are_added_where_they_are_not_there_yet(own, remote, made):
    asked = RemotePolicy(reduce=remote)
    once = tightened(replace(OPEN, reduce=own), asked)
    assert once.reduce == made
    assert tightened(once, asked) == once
