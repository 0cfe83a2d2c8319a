"""The flags of a device: types, precedence, kills, sessions, age, contexts, and what a home keeps."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

import edgeinfer as ei
from edgeinfer.errors import FlagError, StoreError
from edgeinfer.flags import read_document
from edgeinfer.flags.snapshot import compiled
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

CLOUD = ei.Flag("cloud", default=False)
DAY = 86_400.0


def flag(default: str | None = "on", **rest: Any) -> dict[str, Any]:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default, **rest}


def document(version: int = 1, **flags: Any) -> bytes:
    return json.dumps({"flags": flags, "metadata": {"version": str(version)}}).encode()


def details(flags: ei.Flags, asked: ei.Flag = CLOUD, **context: Any) -> tuple[Any, str, str | None]:
    told = flags.details(asked, context)
    return told.value, told.reason, told.error


def test_a_flag_is_read_with_its_variant_and_reason():
    told = ei.Flags(bundled=document(cloud=flag(metadata={"owner": "vision"}))).details(CLOUD)
    assert (told.value, told.variant, told.reason, told.error) == (True, "on", "STATIC", None)
    assert told.metadata == {"owner": "vision", "version": "1"}


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (True, False, True),
        (True, 0, None),
        (1, False, None),
        (3, 0, 3),
        (3, 0.5, 3.0),
        (3.5, 0, None),
        (3.5, 0.0, 3.5),
        ("x", "", "x"),
        ("x", 0, None),
        (10**400, 0.5, None),
        ({"a": 1}, {}, {"a": 1}),
        ("x", {}, None),
    ],
)
def test_the_default_fixes_the_type(value, default, expected):
    asked = ei.Flag("f", default=default)
    flags = ei.Flags(
        bundled=document(f={"state": "ENABLED", "variants": {"a": value}, "defaultVariant": "a"})
    )
    told = flags.details(asked)
    if expected is None:
        assert (told.value, told.error) == (default, "TYPE_MISMATCH")
        assert type(flags.value(asked)) is type(default)
    else:
        assert (told.value, type(told.value)) == (expected, type(default))
        assert (flags.value(asked), type(flags.value(asked))) == (expected, type(default))


def test_an_object_that_a_caller_changes_is_that_caller_s():
    asked = ei.Flag("f", default={"a": []})
    flags = ei.Flags(
        bundled=document(f={"state": "ENABLED", "variants": {"v": {"a": []}}, "defaultVariant": "v"})
    )
    flags.value(asked)["a"].append(1)
    assert flags.value(asked) == {"a": []}
    ei.Flags().value(asked)["a"].append(1)
    assert asked.default == {"a": []}


def test_without_a_document_the_default_holds():
    assert details(ei.Flags()) == (False, "ERROR", "FLAG_NOT_FOUND")
    assert ei.Flags().value(CLOUD) is False


@pytest.mark.parametrize("default", [None, [], (), object(), b"x"])
def test_a_default_of_no_type_that_a_flag_has_is_refused(default):
    with pytest.raises(FlagError, match="the default of flag f"):
        ei.Flag("f", default=default)


@pytest.mark.parametrize("key", ["", None, 3])
def test_a_name_that_is_none_is_refused(key):
    with pytest.raises(FlagError, match="the name of a flag"):
        ei.Flag(key, default=False)


@pytest.mark.parametrize(
    ("targeting", "error"),
    [
        ({"/": [1, 0]}, "GENERAL"),
        ({"%": [1, {"var": "nothing"}]}, "GENERAL"),
        ({"$ref": "self"}, "PARSE_ERROR"),
        ({"if": [{"$ref": "twice"}, "on"]}, "PARSE_ERROR"),
        ({"nothing": [1]}, "PARSE_ERROR"),
        ("on", "PARSE_ERROR"),
        ({"cat": ["no", "variant"]}, "GENERAL"),
        (
            {"reduce": [list(range(60)), {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "xx"]},
            "GENERAL",
        ),
        ({"reduce": [list(range(9)), {"*": [{"var": "accumulator"}] * 9}, 10**20]}, "GENERAL"),
        ({"map": [[1], {"map": [[1], {"map": [[1], {"var": ""}]}]}]}, "PARSE_ERROR"),
        ({"in": [1, [[[[[0] * 2000] * 3]]]]}, "PARSE_ERROR"),
        (json.loads('{"!":' * 90 + "1" + "}" * 90), "PARSE_ERROR"),
        ({"+": [{"var": "text"}, 10**400]}, "GENERAL"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_fails_alone(targeting, error):
    text = json.dumps(
        {
            "flags": {"cloud": flag(targeting=targeting), "other": flag()},
            "$evaluators": {
                "self": {"!": [{"$ref": "self"}]},
                **{f"e{n}": {"and": [{"$ref": f"e{n + 1}"}] * 9} for n in range(9)},
                "e9": {"==": [1, 1]},
                "twice": {"$ref": "e0"},
            },
        }
    )
    flags = ei.Flags({"text": "x"}, bundled=text.encode())
    assert details(flags) == (False, "ERROR", error)
    assert flags.value(ei.Flag("other", default=False)) is True


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"state": "MAYBE", "variants": {"a": 1}},
        {"state": "ENABLED"},
        flag(metadata={"a": {}}),
        flag(5),
    ],
)
def test_a_flag_that_is_malformed_fails_alone(broken):
    flags = ei.Flags(bundled=document(cloud=broken, other=flag()))
    assert details(flags) == (False, "ERROR", "PARSE_ERROR")
    assert flags.value(ei.Flag("other", default=False)) is True


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"[]", b"{}", b'{"flags": []}', b'{"flags": {}, "metadata": []}', b"[" * 100_000,
        b'{"flags": {}, "metadata": {"percentages": "edge-v2"}}', b"<html>", b'{"flags": ' + b" " * 5_000_000,
    ],
    ids=lambda data: data[:20],
)  # fmt: skip
def test_what_is_no_document_is_refused_and_what_holds_goes_on(data):
    flags = ei.Flags(bundled=document(cloud=flag()))
    with pytest.raises(FlagError):
        flags.offer(data)
    assert flags.value(CLOUD) is True


def test_what_is_fetched_waits_for_its_moment(tmp_path):
    path = tmp_path / "flags.json"
    flags = ei.Flags(bundled=document(1, cloud=flag("off")), source=ei.FileSource(path))
    path.write_bytes(document(2, cloud=flag("on")))
    assert flags.refresh()
    assert flags.value(CLOUD) is False
    assert flags.activate()
    assert flags.value(CLOUD) is True
    assert not flags.refresh()
    assert not flags.activate()


def test_a_kill_holds_at_once_and_in_sessions():
    flags = ei.Flags(bundled=document(1, cloud=flag(), other=flag()))
    session = flags.session()
    flags.offer(document(2, cloud=flag(state="DISABLED"), other=flag("off")))
    other = ei.Flag("other", default=False)
    assert (flags.value(CLOUD), session.value(CLOUD)) == (False, False)
    assert details(flags)[1] == "DISABLED"
    assert details(flags, tier="gold")[1] == "DISABLED"
    assert flags.value(other) is True
    flags.activate()
    assert (flags.value(other), session.value(other)) == (False, True)
    flags.offer(document(3, cloud=flag()))
    assert flags.value(CLOUD) is False, "what is allowed again waits for its moment"
    flags.activate()
    assert flags.value(CLOUD) is True


def test_a_kill_holds_after_a_restart_without_a_network(tmp_path):
    with Home(tmp_path) as home:
        ei.Flags(bundled=document(1, cloud=flag()), home=home).offer(
            document(2, cloud=flag(state="DISABLED"))
        )
    with Home(tmp_path) as home:
        assert details(ei.Flags(bundled=document(1, cloud=flag()), home=home))[1] == "DISABLED"


@pytest.mark.parametrize(("bundled", "expected"), [(1, False), (2, False), (3, True)])
def test_a_bundled_document_takes_the_place_of_an_older_one_alone(tmp_path, bundled, expected):
    with Home(tmp_path) as home:
        ei.Flags(home=home).offer(document(2, cloud=flag("off")))
        assert ei.Flags(bundled=document(bundled, cloud=flag()), home=home).value(CLOUD) is expected


def test_an_older_document_is_refused(tmp_path):
    with Home(tmp_path) as home:
        flags, other = ei.Flags(home=home), ei.Flags(home=home)
        flags.offer(document(5, cloud=flag()))
        with pytest.raises(
            FlagError, match="older than one that was seen: expected 5 or later, found release 4"
        ):
            flags.offer(document(4, cloud=flag("off")))
        with pytest.raises(FlagError, match="another process has seen"):
            other.offer(document(4, cloud=flag("off")))


def test_what_cannot_be_kept_does_not_hold(tmp_path):
    """A kill that would be forgotten at the next start is no kill: it is fetched again."""
    with Home(tmp_path) as home:
        flags = ei.Flags(bundled=document(1, cloud=flag()), home=home)
        home.rows("DROP TABLE flags")
        with pytest.raises(StoreError):
            flags.offer(document(2, cloud=flag("off")))
        assert flags.value(CLOUD) is True
        assert ei.Flags(bundled=document(1, cloud=flag()), home=home).value(CLOUD) is True


def test_a_flag_falls_back_when_its_document_is_too_old(tmp_path):
    risky = flag(metadata={"maxStaleSeconds": DAY, "staleVariant": "off"})
    plain = flag(metadata={"maxStaleSeconds": 2 * DAY})
    clock = FakeClock()
    with Home(tmp_path, clock=clock) as home:
        flags = ei.Flags(home=home)
        flags.offer(document(1, cloud=risky, other=plain))
        flags.activate()
        session = flags.session()
        clock.advance(DAY - 1)
        assert (flags.value(CLOUD), flags.stale) == (True, False)
        clock.advance(1)
        assert details(flags) == (False, "STALE", None)
        assert (session.value(CLOUD), flags.stale) == (False, True)
        assert flags.details(CLOUD).variant == "off"
        assert details(flags, ei.Flag("other", default=False))[1] == "STATIC"
        again = ei.Flags(home=home)
        assert details(again)[1] == "STALE"
        clock.advance(DAY)
        assert details(again, ei.Flag("other", default=False)) == (False, "STALE", None)
        flags.offer(document(1, cloud=risky, other=plain))
        assert (flags.value(CLOUD), flags.stale) == (True, False)


def test_a_read_waits_for_no_write():
    """At the moment at which a document grows old, while another thread writes to the disk."""
    clock = FakeClock()
    flags = ei.Flags(bundled=document(1, cloud=flag(metadata={"maxStaleSeconds": 60})), clock=clock)
    clock.advance(60)
    writing, read = threading.Event(), threading.Event()

    def write() -> None:
        with flags._lock:
            writing.set()
            read.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait(10)
    assert flags.value(CLOUD) is True
    read.set()
    thread.join()
    assert details(flags)[1] == "STALE"


def test_a_new_context_leaves_what_waits_waiting_and_kills_in_force():
    rule = {"if": [{"==": [{"var": "tier"}, "gold"]}, "on", "off"]}
    flags = ei.Flags(bundled=document(1, cloud=flag(targeting=rule), other=flag()))
    flags.offer(document(2, cloud=flag("off"), other=flag(state="DISABLED")))
    flags.with_context(tier="gold")
    assert flags.value(CLOUD) is True
    assert details(flags, ei.Flag("other", default=False))[1] == "DISABLED"
    flags.activate()
    assert flags.value(CLOUD) is False


def test_a_clock_that_went_back_makes_nothing_stale(tmp_path):
    risky = flag(metadata={"maxStaleSeconds": DAY})
    with Home(tmp_path, clock=FakeClock(1e9)) as home:
        ei.Flags(home=home).offer(document(1, cloud=risky))
    with Home(tmp_path, clock=FakeClock(0.0)) as home:
        assert ei.Flags(home=home).value(CLOUD) is True


def test_rules_see_the_device_and_the_call():
    rule = {"if": [{"==": [{"var": "tier"}, "gold"]}, "on", "off"]}
    flags = ei.Flags({"tier": "silver"}, bundled=document(cloud=flag(targeting=rule)))
    assert details(flags) == (False, "TARGETING_MATCH", None)
    assert details(flags, tier="gold") == (True, "TARGETING_MATCH", None)
    flags.with_context(tier="gold")
    assert flags.value(CLOUD) is True


@pytest.mark.parametrize("value", [object(), {1}, b"x", {1: 2}, [object()]])
def test_a_context_of_odd_types_is_told_and_raises_nothing(value):
    flags = ei.Flags(bundled=document(cloud=flag(targeting={"var": "x"})))
    assert details(flags, x=value) == (False, "ERROR", "INVALID_CONTEXT")
    with pytest.raises(FlagError, match=r"in a context of flags|a name in"):
        ei.Flags({"x": value})


def test_listeners_hear_of_what_changed_and_may_fail():
    flags, heard = ei.Flags(bundled=document(1, cloud=flag(), other=flag())), []
    flags.on_change(heard.append)
    flags.on_change(lambda _: 1 / 0)
    with pytest.warns(RuntimeWarning, match="on_change raised ZeroDivisionError"):
        flags.offer(document(2, cloud=flag(state="DISABLED"), other=flag()))
    assert heard == [frozenset({"cloud"})]


def test_flags_without_a_source_cannot_be_refreshed():
    with pytest.raises(FlagError, match="nowhere to fetch flags from"):
        ei.Flags().refresh()


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FlagError, match="cannot be read"):
        ei.Flags(source=ei.FileSource(tmp_path / "none.json")).refresh()


def test_a_document_says_what_it_is():
    data = document(7, cloud=flag())
    found = read_document(data)
    assert (found.version, found.data, len(found.digest)) == (7, data, 64)


@pytest.mark.parametrize("version", ["", "x", "-1", "1.5", "²", "9" * 20])
def test_a_version_that_is_none_counts_as_the_first(version):
    assert read_document(json.dumps({"flags": {}, "metadata": {"version": version}}).encode()).version == 0


@pytest.mark.parametrize(
    "broken", [{"variants": {}}, {"metadata": {"maxStaleSeconds": 10**400}}, {"targeting": 3}]
)
def test_a_kill_of_a_flag_that_is_malformed_holds_too(broken):
    flags = ei.Flags(bundled=document(cloud=flag()))
    flags.offer(document(2, cloud=flag() | broken | {"state": "DISABLED"}))
    assert details(flags)[:2] == (False, "DISABLED")


def test_a_document_that_takes_too_long_fails_but_for_its_kills():
    seconds = iter((0.0, 1.0, 5.1, 5.2, 5.3))
    parsed = read_document(document(a=flag(), b=flag(), c=flag() | {"state": "DISABLED"}))
    found = compiled(parsed, {}, 0.0, lambda: next(seconds))
    reasons = [found.details(ei.Flag(key, default=False)).reason for key in "abc"]
    assert reasons == ["STATIC", "ERROR", "DISABLED"]


@pytest.mark.parametrize("limit", [-1, 10**400, float("nan"), float("inf"), "3", True])
def test_an_age_that_is_none_is_a_fault_of_its_flag(limit):
    flags = ei.Flags(bundled=document(cloud=flag(metadata={"maxStaleSeconds": limit}), other=flag()))
    assert details(flags) == (False, "ERROR", "PARSE_ERROR")
    assert details(flags, ei.Flag("other", default=False))[0] is True


def test_a_number_too_large_to_be_written_fails_its_flag_alone():
    flags = ei.Flags({"huge": 10**5000}, bundled=document(cloud=flag(targeting={"var": "huge"})))
    assert details(flags) == (False, "ERROR", "GENERAL")
