"""Policies: values in range, files read key by key, digests, and what may come from afar."""

from __future__ import annotations

import hashlib
import json
import os
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
    load_policy,
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
        ("deadline_ms", [0.0, -1.0, inf, nan, 1.1e15, 10**400]),
        ("least_cloud_ms", [-0.1, inf, nan, 1.1e15]),
        ("max_escalations_per_hour", [-1, 10**16]),
        ("min_battery", [-0.1, 1.1, nan, inf]),
        ("max_wait_ms", [-1.0, nan, inf, 1.1e15]),
        ("default", ["v" * 101, "a\n", "\x1b[2J", "\0", "\ud800", "\u202e"]),
        ("consent_version", ["v" * 101, "a\n", "\x1b[2J", "\0", "\ud800"]),
        (
            "cache",
            [CacheLimits(each) for each in (0, -1, 10**16, inf, nan)],
        ),
        (
            "cache",
            [CacheLimits(1, each) for each in (0.0, -1.0, inf, nan)],
        ),
        (
            "queue",
            [QueueLimits(each) for each in (0, -1, 10**16, inf, nan)],
        ),
        (
            "queue",
            [QueueLimits(1, each) for each in (0.0, -1.0, inf, nan)],
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
        ("deadline_ms", [0.001, 1e9, 1e15, 5]),
        ("least_cloud_ms", [0.0, 1e9, 1e15, 0]),
        ("max_escalations_per_hour", [0, 1_000_000]),
        ("min_battery", [0.0, 1.0]),
        ("max_wait_ms", [0.0, None]),
        ("cache", [CacheLimits(1, 0.1), None]),
        ("queue", [QueueLimits(1, 0.1), None]),
        ("reduce", [(), (Downscale(1),) * 16]),
        ("default", ["", "Ö", "v" * 100, "two words", None]),
        ("consent_version", ["", "Ö", "v" * 100]),
    ],
)
def test_values_at_the_ends_of_their_ranges_are_taken(name, values):
    for value in values:
        assert getattr(Policy(**{name: value}), name) == value


TYPES = {
    "mode": [True, 1, [], {}, ("only_on_device",), b"only_on_device"],
    "offline": [None, 0, 1, "no", "true", []],
    "threshold": [True, False, "0.5", [], 0.5j],
    "deadline_ms": [None, True, "1000", []],
    "least_cloud_ms": [None, True, "0", []],
    "max_escalations_per_hour": [None, True, 1.0, 1.5, nan, inf, "60", []],
    "metered": [None, 0, 1, "no", []],
    "min_battery": [None, True, "0.5", []],
    "max_wait_ms": [True, "100", []],
    "cloud_when_throttled": [None, 0, 1, "no", []],
    "default": [5, True, False, b"unknown", ["unknown"], 1.5],
    "cache": [5, True, False, 0, "", {}, (), {"max_bytes": 1}, QueueLimits(),
              CacheLimits("1"), CacheLimits(True), CacheLimits(None), CacheLimits(1, None), CacheLimits(1, "60")],
    "queue": [5, True, False, 0, "", {}, (), {"max_bytes": 1}, CacheLimits(),
              QueueLimits("1"), QueueLimits(True), QueueLimits(None), QueueLimits(1, None), QueueLimits(1, "60")],
    "reduce": [None, 5, True, "downscale", Downscale(8), ("downscale",), ({"op": "downscale", "longest": 8},)],
    "consent_version": [None, 1, True, b"1", ["1"]],
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_values_of_other_types_are_refused_by_their_name(name):
    said = {}
    for value in TYPES[name]:
        try:
            said[repr(value)] = str(replace(FULL, **{name: value}))
        except Exception as error:
            said[repr(value)] = f"{type(error).__name__}: {error}"
    expected = f"PolicyError: {name} of the policy: expected "
    assert {value: each for value, each in said.items() if not each.startswith(expected)} == {}


def test_every_field_has_values_of_other_types_in_these_tests():
    assert set(TYPES) == {each.name for each in fields(Policy)}


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
    with pytest.raises(PolicyError, match="expected a file of at most 1048576, found 1048577 bytes"):
        load_policy(fitting)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_that_is_far_too_large_is_not_even_read(tmp_path, suffix):
    path = written(tmp_path, b"", suffix)
    os.truncate(path, 2**40)  # it takes no room, and none could read it
    with pytest.raises(PolicyError, match="expected a file of at most 1048576, found 1099511627776 bytes"):
        load_policy(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names are POSIX's")
@pytest.mark.parametrize("what", ["a pipe", "a folder", "/dev/zero", "a link to a pipe"])
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path, what):
    os.mkfifo(tmp_path / "a pipe")
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a link to a pipe").symlink_to("a pipe")
    with pytest.raises(PolicyError, match="expected a file of at most 1048576"):
        load_policy(tmp_path / what)


@pytest.mark.parametrize("name", ["nothing.toml", "nothing.json", "", "a\0b", "folder/nothing.toml"])
def test_a_file_that_is_not_there_is_a_policy_error(tmp_path, name):
    # Without a name it is a folder, which is there.
    with pytest.raises(PolicyError, match="cannot be read" if name else "expected a file of at most"):
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
    "values",
    [
        {"max_wait_ms": inf},
        {"default": "\ud800"},
        {"consent_version": "\ud800"},
        {"deadline_ms": 1e15},
        {"least_cloud_ms": 1e15, "max_wait_ms": 1e15},
        {"max_escalations_per_hour": 10**15},
        {"cache": CacheLimits(10**15, 1e15), "queue": QueueLimits(10**15, 1e15)},
        {"default": "v" * 100, "consent_version": "Ö" * 100},
    ],
)
def test_a_policy_that_is_taken_has_a_digest(values):
    try:
        policy = Policy(**values)
    except EdgeInferError:
        return
    assert len(policy.digest) == 64
