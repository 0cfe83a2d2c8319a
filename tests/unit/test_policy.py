"""Policies: values in range, files read key by key, digests, and what may come from afar."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from math import inf, nan
from pathlib import Path

import pytest

from edgeinfer.bundle import Crop, Downscale, StripMetadata
from edgeinfer.errors import EdgeInferError, PolicyError
from edgeinfer.fallback import (
    MODES,
    CacheLimits,
    Policy,
    QueueLimits,
    RemotePolicy,
    load_policy,
    read_remote_policy,
    tightened,
)

# Every field with another value than its own.
FULL = Policy(
    mode="prefer_on_device",
    offline=True,
    threshold=0.75,
    deadline_ms=500.0,
    least_cloud_ms=0.0,
    max_escalations_per_hour=5,
    metered=True,
    min_battery=0.5,
    max_wait_ms=20.0,
    cloud_when_throttled=True,
    default="unknown",
    cache=CacheLimits(1000, 60.0),
    queue=QueueLimits(2000, 120.0),
    reduce=(Crop(0.0, 0.25, 1.0, 0.75), Downscale(64), StripMetadata()),
    consent_version="2",
)
FULL_TOML = """
mode = "prefer_on_device"
offline = true
threshold = 0.75
deadline_ms = 500
least_cloud_ms = 0
max_escalations_per_hour = 5
metered = true
min_battery = 0.5
max_wait_ms = 20.0
cloud_when_throttled = true
default = "unknown"
consent_version = "2"
reduce = [
    { op = "crop", left = 0, top = 0.25, right = 1, bottom = 0.75 },
    { op = "downscale", longest = 64 },
    { op = "strip_metadata" },
]
[cache]
max_bytes = 1000
ttl_s = 60
[queue]
max_bytes = 2000
ttl_s = 120
"""
FULL_JSON = {
    "mode": "prefer_on_device",
    "offline": True,
    "threshold": 0.75,
    "deadline_ms": 500,
    "least_cloud_ms": 0,
    "max_escalations_per_hour": 5,
    "metered": True,
    "min_battery": 0.5,
    "max_wait_ms": 20,
    "cloud_when_throttled": True,
    "default": "unknown",
    "cache": {"max_bytes": 1000, "ttl_s": 60},
    "queue": {"max_bytes": 2000, "ttl_s": 120},
    "reduce": [
        {"op": "crop", "left": 0, "top": 0.25, "right": 1, "bottom": 0.75},
        {"op": "downscale", "longest": 64},
        {"op": "strip_metadata"},
    ],
    "consent_version": "2",
}


def written(folder: Path, content: str | bytes, suffix: str = ".toml") -> Path:
    path = folder / f"policy{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_without_a_word_nothing_leaves_the_device_and_nothing_is_kept():
    own = Policy()
    assert (own.mode, own.cache, own.queue, own.metered) == ("only_on_device", None, None, False)
    assert MODES == ("only_on_device", "prefer_on_device", "prefer_in_cloud", "only_in_cloud")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mode", ["", "cloud", "Only_on_device", None, 0]),
        ("threshold", [-0.001, 1.001, nan, inf]),
        ("deadline_ms", [0.0, -1.0, inf, nan]),
        ("least_cloud_ms", [-0.1, inf, nan]),
        ("max_escalations_per_hour", [-1]),
        ("min_battery", [-0.1, 1.1, nan]),
        ("max_wait_ms", [-1.0, nan]),
        (
            "cache",
            [CacheLimits(0), CacheLimits(-1), CacheLimits(1, 0.0), CacheLimits(1, inf), CacheLimits(1, nan)],
        ),
        (
            "queue",
            [QueueLimits(0), QueueLimits(-1), QueueLimits(1, 0.0), QueueLimits(1, inf), QueueLimits(1, nan)],
        ),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(name, values):
    for value in values:
        with pytest.raises(PolicyError, match=f"^{name} of the policy: expected"):
            Policy(**{name: value})
        with pytest.raises(PolicyError, match=f"^{name} of the policy: expected"):
            replace(FULL, **{name: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mode", MODES),
        ("threshold", [0.0, 1.0, None]),
        ("deadline_ms", [0.001, 1e9]),
        ("least_cloud_ms", [0.0, 1e9]),
        ("max_escalations_per_hour", [0, 1_000_000]),
        ("min_battery", [0.0, 1.0]),
        ("max_wait_ms", [0.0, None]),
        ("cache", [CacheLimits(1, 0.1), None]),
        ("queue", [QueueLimits(1, 0.1), None]),
        ("reduce", [(), (Downscale(1),) * 16]),
        ("default", ["", "Ö", None]),
    ],
)
def test_values_at_the_ends_of_their_ranges_are_taken(name, values):
    for value in values:
        assert getattr(Policy(**{name: value}), name) == value


def test_every_field_is_another_one_in_the_full_policy():
    assert [
        each.name for each in fields(Policy) if getattr(FULL, each.name) == getattr(Policy(), each.name)
    ] == []
    assert set(FULL_JSON) == {each.name for each in fields(Policy)}


def test_a_policy_is_read_from_toml_and_json(tmp_path):
    assert load_policy(written(tmp_path, FULL_TOML)) == FULL
    assert load_policy(str(written(tmp_path, FULL_TOML, ".txt"))) == FULL
    assert load_policy(written(tmp_path, json.dumps(FULL_JSON), ".json")) == FULL


@pytest.mark.parametrize(("content", "suffix"), [("", ".toml"), ("# none\n", ".toml"), ("{}", ".json")])
def test_an_empty_policy_is_the_strictest(tmp_path, content, suffix):
    assert load_policy(written(tmp_path, content, suffix)) == Policy()


def test_null_is_the_same_as_absence(tmp_path):
    nulls = json.dumps(dict.fromkeys(FULL_JSON))
    assert load_policy(written(tmp_path, nulls, ".json")) == Policy()


def test_one_reduction_in_a_file(tmp_path):
    path = written(tmp_path, 'reduce = [{ op = "downscale", longest = 64 }]')
    assert load_policy(path) == Policy(reduce=(Downscale(64),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('moode = "only_on_device"', r"unknown key 'moode'; did you mean 'mode'\?"),
        ("offlin = true", r"unknown key 'offlin'; did you mean 'offline'\?"),
        ("max_escalation_per_hour = 0", r"did you mean 'max_escalations_per_hour'\?"),
        ("zzz = 1", r"unknown key 'zzz'; known keys: cache, "),
        ("[cache]\nmaxbytes = 1", r"\.cache has the unknown key 'maxbytes'; did you mean 'max_bytes'\?"),
        ("[queue]\nttl = 1", r"\.queue has the unknown key 'ttl'; did you mean 'ttl_s'\?"),
        (
            'reduce = [{op = "downscale", longest = 1, shortest = 1}]',
            r"\.reduce\[0\] has the unknown key 'shortest'",
        ),
        (
            'reduce = [{op = "strip_metadata"}, {op = "strip_metadata", also = "all"}]',
            r"\.reduce\[1\] has the unknown",
        ),
        ('[mode]\nvalue = "only_on_device"', r"\.mode: expected 'only_on_device' or "),
        ('mode = "on_device"', r"\.mode: expected 'only_on_device' or "),
        (
            'reduce = [{op = "blur"}]',
            r"reduce\[0\]\.op: expected one of crop, downscale, strip_metadata, found 'blur'",
        ),
        ("reduce = [{longest = 64}]", r"reduce\[0\]\.op: expected one of crop"),
        ('reduce = [{op = "downscale"}]', r"reduce\[0\] lacks the field 'longest'"),
        ('reduce = {op = "strip_metadata"}', r"\.reduce: expected a list"),
        ('threshold = "0.5"', r"\.threshold: expected a number, found '0.5'"),
        ("threshold = true", r"\.threshold: expected a number, found True"),
        ("threshold = nan", r"\.threshold: expected a finite number"),
        ("max_wait_ms = inf", r"\.max_wait_ms: expected a finite number"),
        ("max_escalations_per_hour = 1.5", r"\.max_escalations_per_hour: expected a whole number"),
        ("metered = 0", r"\.metered: expected true or false, found 0"),
        ("offline = 'no'", r"\.offline: expected true or false"),
        ("consent_version = 2", r"\.consent_version: expected text"),
        ("cache = true", r"\.cache: expected a table"),
        ("default = 2026-01-01", r"\.default: expected text"),
        ("threshold = 1.5", "threshold of the policy: expected 0 to 1, found 1.5"),
        ("mode = ", "cannot be read"),
        ("metered = true\nmetered = false", "cannot be read"),
        ("a = " + "[" * 10_000, "cannot be read"),
    ],
)
def test_a_file_with_a_mistake_is_refused_and_says_where(tmp_path, content, message):
    with pytest.raises(PolicyError, match=message):
        load_policy(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"metered": false, "metered": true}', "a key occurs twice"),
        ('{"cache": {"ttl_s": 1, "ttl_s": 2}}', "a key occurs twice"),
        ('{"reduce": [{"op": "downscale", "longest": 1, "longest": 9999}]}', "a key occurs twice"),
        ('{"threshold": NaN}', "a finite number"),
        ('{"deadline_ms": Infinity}', "a finite number"),
        ('{"deadline_ms": 1e999}', "a finite number"),
        ('{"max_escalations_per_hour": 1e2}', "a whole number"),
        ('{"max_escalations_per_hour": 9007199254740993}', "a whole number of at most"),
        ('{"metered": "true"}', "true or false"),
        ('{"moode": "x"}', "did you mean 'mode'"),
        ('{"default": "\\u001b[2J"}', "text without control characters"),
        ('{"default": "\\ud800"}', "text without control characters"),
        ("[]", "a table"),
        ("null", "a table"),
        ('"mode"', "a table"),
        ("", "cannot be read"),
        ("{} {}", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"mode": "only_on_device",}', "cannot be read"),
        ('mode = "only_on_device"', "cannot be read"),
    ],
)
def test_json_with_a_mistake_is_refused(tmp_path, content, message):
    with pytest.raises(PolicyError, match=message):
        load_policy(written(tmp_path, content, ".json"))


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize(
    "content", ['default = "ä"'.encode("latin-1"), b'{"default": "\xff"}', b"\0\xd8\0\0", bytes(20)]
)
def test_a_file_that_is_no_utf_8_is_refused(tmp_path, content, suffix):
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(written(tmp_path, content, suffix))


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_that_is_too_large_is_refused(tmp_path, suffix):
    content = b"{}" if suffix == ".json" else b""
    fitting = written(tmp_path, content + b" " * (1024 * 1024 - len(content)), suffix)
    assert load_policy(fitting) == Policy()
    fitting.write_bytes(fitting.read_bytes() + b" ")
    with pytest.raises(PolicyError, match="expected at most 1048576, found 1048577 bytes"):
        load_policy(fitting)


@pytest.mark.parametrize("name", ["nothing.toml", "nothing.json", "", "a\0b", "folder/nothing.toml"])
def test_a_file_that_is_not_there_is_a_policy_error(tmp_path, name):
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / name)


OTHERS = [
    *({each.name: getattr(Policy(), each.name)} for each in fields(Policy)),
    {"mode": "prefer_in_cloud"},
    {"threshold": 0.7500000001},
    {"max_wait_ms": 0.0},
    {"default": ""},
    {"cache": CacheLimits(1001, 60.0)},
    {"cache": CacheLimits(1000, 61.0)},
    {"queue": QueueLimits(2000, 121.0)},
    {"reduce": FULL.reduce[:2]},
    {"reduce": (FULL.reduce[1], FULL.reduce[0], FULL.reduce[2])},
    {"reduce": (Crop(0.0, 0.25, 1.0, 0.76), *FULL.reduce[1:])},
    {"reduce": (FULL.reduce[0], Downscale(65), FULL.reduce[2])},
]


def test_the_digest_is_another_one_with_every_other_value():
    policies = [FULL, *(replace(FULL, **change) for change in OTHERS)]
    digests = [each.digest for each in policies]
    assert len(set(digests)) == len(policies) == 27
    assert all(len(each) == 64 and int(each, 16) >= 0 for each in digests)


def test_the_digest_is_that_of_the_canonical_json(tmp_path):
    spelled = json.dumps(FULL_JSON, sort_keys=True, separators=(",", ":")).encode()
    assert FULL.digest == hashlib.sha256(spelled).hexdigest()
    assert load_policy(written(tmp_path, FULL_TOML)).digest == FULL.digest


@pytest.mark.parametrize(
    "values", [{"max_wait_ms": inf}, {"default": "\ud800"}, {"consent_version": "\ud800"}]
)
def test_a_policy_that_is_taken_has_a_digest(values):
    try:
        policy = Policy(**values)
    except EdgeInferError:
        return
    assert len(policy.digest) == 64


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


@pytest.mark.parametrize(
    "document", [{"threshold": -0.5}, {"threshold": 1.5}, {"max_escalations_per_hour": -1}]
)
def test_a_remote_policy_that_is_read_can_be_applied(document):
    try:
        remote = read_remote_policy(document)
    except PolicyError:
        return
    assert tightened(FULL, remote).threshold <= FULL.threshold
