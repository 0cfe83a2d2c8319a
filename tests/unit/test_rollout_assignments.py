"""Where a device stands in a rollout: drawn once, kept in its home, and moved by nothing."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cbor2
import mmh3
import pytest

import edgeinfer as ei
from edgeinfer.flags import percentages
from edgeinfer.flags.percentages import position_of
from edgeinfer.store import Home

MODEL = ei.Flag("model", default="")
HALF = {"fractional": [["new", 50], ["old", 50]]}
KEY = "device-1"
POSITION = position_of(["model", KEY])
VECTORS = runpy.run_path(str(Path(__file__).with_name("test_percentages.py")))["VECTORS"]


def document(targeting: Any = HALF, rollout: Any = "r1", *, version: int = 1, **rest: Any) -> bytes:
    flag = {"state": "ENABLED", "variants": {"new": "n", "old": "o"}, "defaultVariant": "old"}
    flag |= {"targeting": targeting, "metadata": {} if rollout is None else {"rollout": rollout}, **rest}
    return json.dumps({"flags": {"model": flag}, "metadata": {"version": str(version)}}).encode()


def kept(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT * FROM assignments")


def hashed_otherwise(data: bytes) -> int:
    return zlib.crc32(data[::-1])


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path) as home:
        yield home


def test_a_position_is_kept_when_it_is_first_asked_for(home):
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    assert kept(home) == [("model", "r1", POSITION)]
    assert flags.details(MODEL).variant == ("new" if POSITION < 2**31 else "old")


@pytest.mark.parametrize("percent", [1, 25, 50, 75, 99])
def test_what_is_kept_decides_and_nothing_is_hashed_again(home, monkeypatch, percent):
    rule = {"fractional": [["new", percent], ["old", 100 - percent]]}
    before = ei.Flags({"targetingKey": KEY}, bundled=document(rule), home=home).value(MODEL)
    monkeypatch.setattr(percentages, "murmur3", hashed_otherwise)
    for context in ({"targetingKey": KEY}, {"targetingKey": "another"}, {}):
        assert ei.Flags(context, bundled=document(rule), home=home).value(MODEL) == before
    assert kept(home) == [("model", "r1", POSITION)]


def test_a_ramp_goes_by_what_is_kept(home, monkeypatch):
    ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    monkeypatch.setattr(percentages, "murmur3", hashed_otherwise)
    flags = ei.Flags({"targetingKey": KEY}, home=home)
    found = []
    # A weight is at most 2^31 - 1: that of the device's place, less one, more one, and all.
    place = (POSITION * (2**31 - 1)) >> 32
    for version, weight in enumerate((0, place, place + 1, 2**31 - 1), start=2):
        rule = {"fractional": [["new", weight], ["old", 2**31 - 1 - weight]]}
        flags.offer(document(rule, version=version))
        flags.activate()
        found.append(flags.value(MODEL))
    assert found == ["o", "o", "n", "n"]


def test_another_rollout_draws_anew_and_an_old_one_is_remembered(home, monkeypatch):
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    monkeypatch.setattr(percentages, "murmur3", hashed_otherwise)
    flags.offer(document(rollout="r2", version=2))
    flags.offer(document(rollout="r1", version=3))
    anew = position_of(["model", KEY])
    assert anew != POSITION
    assert sorted(kept(home)) == [("model", "r1", POSITION), ("model", "r2", anew)]


def test_another_context_of_the_device_moves_nobody(home):
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    before = flags.value(MODEL)
    for each in range(40):
        flags.with_context(targetingKey=f"user {each}")
        assert flags.value(MODEL) == before
    assert len(kept(home)) == 1


@pytest.mark.parametrize(
    ("context", "asked"),
    [
        ({"targetingKey": KEY}, document(rollout=None)),
        ({"targetingKey": KEY}, document(rollout="")),
        ({"targetingKey": KEY}, document(rollout=7)),
        ({"targetingKey": KEY}, document(state="DISABLED")),
        ({"targetingKey": KEY}, document({"var": "x"})),
        ({"targetingKey": KEY}, document({"fractional": [{"var": "tier"}, ["new", 1], ["old", 1]]})),
        ({"targetingKey": KEY}, document({"if": [{"==": [{"var": "tier"}, "gold"]}, HALF, "old"]})),
        ({}, document()),
        ({"targetingKey": ""}, document()),
        ({"targetingKey": 7}, document()),
        ({"targetingKey": "\ud800"}, document()),
    ],
)
def test_nothing_is_kept_where_no_share_of_a_rollout_was_asked_for(home, context, asked):
    flags = ei.Flags({"tier": "silver", **context}, bundled=asked, home=home)
    assert flags.value(MODEL) in ("", "n", "o")
    assert kept(home) == []


def test_a_rule_that_asks_later_draws_later(home):
    rule = {"if": [{"==": [{"var": "tier"}, "gold"]}, HALF, "old"]}
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(rule), home=home)
    flags.with_context(tier="gold")
    assert kept(home) == [("model", "r1", POSITION)]


def test_devices_that_are_told_apart_by_the_rule_itself_are_hashed(home):
    rule = {"fractional": [{"var": "tier"}, ["new", 50], ["old", 50]]}
    with home.transaction() as connection:
        connection.execute("INSERT INTO assignments VALUES ('model', 'r1', 0)")
    found = {
        tier: ei.Flags({"tier": tier, "targetingKey": KEY}, bundled=document(rule), home=home).value(MODEL)
        for tier in "abcdefgh"
    }
    assert found == {tier: "n" if position_of(tier) < 2**31 else "o" for tier in "abcdefgh"}
    assert set(found.values()) == {"n", "o"}


def test_a_call_with_a_context_of_its_own_is_hashed_and_keeps_nothing(home):
    flags = ei.Flags(bundled=document(), home=home)
    for each in range(40):
        told = flags.details(MODEL, {"targetingKey": f"user {each}"})
        assert told.variant == ("new" if position_of(["model", f"user {each}"]) < 2**31 else "old")
    assert kept(home) == []


def test_another_process_that_drew_first_is_right(home):
    """Two that began with different keys: one device is in one place."""
    late = ei.Flags({"targetingKey": KEY}, home=home)
    other = 2**32 - 1 - POSITION
    with home.transaction() as connection:
        connection.execute("INSERT INTO assignments VALUES ('model', 'r1', ?)", (other,))
    late.offer(document())
    late.activate()
    assert late.details(MODEL).variant == ("new" if other < 2**31 else "old")
    assert kept(home) == [("model", "r1", other)]


@pytest.mark.parametrize("position", [-1, 2**32, 2**60])
def test_a_position_that_is_none_counts_as_none(home, position):
    with home.transaction() as connection:
        connection.execute("INSERT INTO assignments VALUES ('model', 'r1', ?)", (position,))
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    assert flags.details(MODEL).variant == ("new" if POSITION < 2**31 else "old")


def test_a_home_that_cannot_be_written_stops_no_flag(home):
    home.rows("DROP TABLE assignments")
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    flags.offer(document(version=2))
    assert flags.details(MODEL).reason == "TARGETING_MATCH"


def test_the_position_is_kept_before_the_share_holds(home):
    flags = ei.Flags({"targetingKey": KEY}, home=home)
    seen = []
    flags.on_change(lambda _: seen.append(kept(home)))
    flags.offer(document())
    assert kept(home) == [("model", "r1", POSITION)]
    flags.activate()
    assert seen == [[("model", "r1", POSITION)]]


def test_a_session_keeps_its_variant(home):
    flags = ei.Flags(
        {"targetingKey": KEY}, bundled=document({"fractional": [["new", 1], ["old", 0]]}), home=home
    )
    session = flags.session()
    flags.offer(document({"fractional": [["new", 0], ["old", 1]]}, version=2))
    flags.activate()
    assert (session.value(MODEL), flags.value(MODEL)) == ("n", "o")


def test_no_library_is_asked_for_a_share(home, monkeypatch):
    def no(*_: object, **__: object) -> None:
        raise AssertionError("a library was asked")

    for module, name in ((mmh3, "hash"), (cbor2, "dumps")):
        monkeypatch.setattr(module, name, no)
    flags = ei.Flags({"targetingKey": KEY}, bundled=document(), home=home)
    assert flags.details(MODEL).reason == "TARGETING_MATCH"
    assert kept(home) == [("model", "r1", POSITION)]


def test_the_vectors_hold_where_neither_library_is_installed():
    program = f"""
import sys
sys.modules["mmh3"] = sys.modules["cbor2"] = None
from edgeinfer.flags.percentages import bucket
for value, expected in {VECTORS!r}:
    assert bucket(value, 10_000) == expected, value
print("held")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "held\n", done.stderr
