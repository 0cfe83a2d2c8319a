"""What a release manager does to a document of flags, and how a flag tells of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import edgeinfer as ei
from edgeinfer.cli.flags import flags as command
from edgeinfer.errors import FlagError
from edgeinfer.flags import differences, explained, killed, ramped, read_document, revived

PLAIN = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
RULE = {
    "if": [
        {"sem_ver": [{"var": "app"}, ">=", "2.0.0"]},
        {"fractional": [["on", 5], ["off", 95]]},
        {"==": [{"var": "tier"}, "gold"]},
        "on",
        None,
    ]
}
NEW = ei.Flag("new", default=False)


def document(**flags: Any) -> dict[str, Any]:
    return {"flags": flags, "metadata": {"version": "3"}}


def told(rule: Any, **context: Any) -> list[str]:
    data = json.dumps(document(new={**PLAIN, "targeting": rule})).encode()
    return list(explained(read_document(data).flags["new"], context, 1e9))


def answers(parsed: dict[str, Any], key: str) -> bool:
    return ei.Flags({"targetingKey": key, "app": "2.0.0"}, bundled=json.dumps(parsed).encode()).value(NEW)


@given(st.text(min_size=1, max_size=8), st.floats(0, 100), st.floats(0, 100), st.booleans())
def test_a_ramp_up_only_adds(key, before, after, ruled):
    low, high = sorted((before, after))
    start = document(new={**PLAIN, "targeting": RULE} if ruled else PLAIN)
    first = ramped(start, "new", low, "on")
    if answers(first, key):
        assert answers(ramped(first, "new", high), key)


@pytest.mark.parametrize(("percent", "expected"), [(0, False), (100, True)])
def test_nobody_and_everybody(percent, expected):
    ramp = ramped(document(new=PLAIN), "new", percent, "on")
    assert {answers(ramp, str(each)) for each in range(200)} == {expected}


def test_a_ramp_counts_a_release_and_leaves_the_old_document_alone():
    old = document(new={**PLAIN, "targeting": RULE})
    new = ramped(old, "new", 12.5)
    assert new["flags"]["new"]["targeting"]["if"][1] == {"fractional": [["on", 12_500], ["off", 87_500]]}
    assert (old["metadata"], new["metadata"]) == ({"version": "3"}, {"version": "4"})
    assert old["flags"]["new"]["targeting"] == RULE


@pytest.mark.parametrize(
    ("flag", "variant", "message"),
    [
        (PLAIN, None, "has no shares yet: expected one of on, found no variant to ramp"),
        (PLAIN, "off", "has no shares yet"),
        (PLAIN, "other", "has no shares yet"),
        ({**PLAIN, "targeting": {"var": "x"}}, None, "found 0 times `fractional`"),
        ({**PLAIN, "targeting": {"fractional": [["on", 1], ["off", 1], ["on", 1]]}}, None, "found 3 shares"),
        ({**PLAIN, "targeting": RULE}, "off", "the first share of flag new: expected off, found on"),
    ],
)
def test_what_cannot_be_ramped_is_told(flag, variant, message):
    with pytest.raises(FlagError, match=message):
        ramped(document(new=flag), "new", 5, variant)


@pytest.mark.parametrize("percent", [-1, 101, float("nan")])
def test_a_share_is_of_a_hundred(percent):
    with pytest.raises(FlagError, match="expected 0% to 100%"):
        ramped(document(new=PLAIN), "new", percent, "on")


def test_a_kill_and_its_undoing():
    start = document(new={**PLAIN, "defaultVariant": "on"})
    dead = killed(start, "new")
    assert [answers(each, "x") for each in (start, dead, revived(dead, "new"))] == [True, False, True]
    with pytest.raises(FlagError, match="there is no flag other: expected one of new"):
        killed(start, "other")


def test_differences_name_what_changed():
    old, new = document(a=PLAIN, b=PLAIN), document(b={**PLAIN, "state": "DISABLED"}, c=PLAIN)
    assert differences(old, new) == ["+ c", "- a", '~ b.state: "ENABLED" -> "DISABLED"']
    assert differences(old, old) == []


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            {"app": "2.1.0", "targetingKey": "device"},
            [
                'if {"sem_ver": [{"var": "app"}, ">=", "2.0.0"]}: yes',
                'shares by ["new", "device"]: "on" 5.000%, "off" 95.000%',
                "this device is at",
                "new = false (variant off, TARGETING_MATCH)",
            ],
        ),
        ({"app": "2.1.0"}, ["if", "shares: there is nothing to tell", "new = false (variant off, DEFAULT)"]),
        ({"tier": "gold"}, ["if", "if", 'gives "on"', "new = true (variant on, TARGETING_MATCH)"]),
        ({}, ["if", "if", "gives null", "new = false (variant off, DEFAULT)"]),
    ],
)
def test_a_flag_tells_which_rule_decided(context, expected):
    found = told(RULE, **context)
    assert len(found) == len(expected)
    assert all(line.startswith(begin) for line, begin in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    "rule", [{"/": [1, 0]}, {"fractional": [["on", 0]]}, {"if": []}, {"var": "x"}, {"no": []}]
)
def test_a_rule_that_fails_tells_so_and_raises_nothing(rule):
    assert told(rule)[-1].startswith("new = ")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(document(new={**PLAIN, "targeting": RULE}, other=PLAIN)))
    return path


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(each) for each in words])
    return (
        1 if isinstance(done.exception, FlagError) else done.exit_code
    ), f"{done.output}{done.exception or ''}"


def test_the_commands(path, tmp_path):
    old = tmp_path / "old.json"
    old.write_bytes(path.read_bytes())
    assert run("check", path) == (0, f"{path}: 2 flags, release 3, nothing is wrong\n")
    assert (
        "this device is at"
        in run("explain", "new", "--file", path, "--context", "app=2.0.0", "--context", "targetingKey=x")[1]
    )
    assert '"on", 25000' in run("ramp", "new", "25%", "--file", path)[1]
    assert run("kill", "other", "--file", path)[0] == 0
    assert read_document(path.read_bytes()).version == 5
    assert not read_document(path.read_bytes()).flags["other"].enabled
    assert run("diff", old, path)[1].count("\n") == 3
    assert run("diff", old, old) == (0, "nothing is other\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ramp", "new", "x"], "expected a number of percent"),
        (["ramp", "new", "nan"], "expected 0% to 100%"),
        (["explain", "none"], "there is no flag none"),
        (["explain", "new", "--context", "x"], "expected NAME=VALUE"),
        (["kill", "none"], "there is no flag none"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(path, words, message):
    before = path.read_bytes()
    status, output = run(*words, "--file", path)
    assert (status, message in output) == (1, True), output
    assert path.read_bytes() == before


def test_a_document_with_faults_is_not_changed(path):
    path.write_text('{"flags": {"new": {"state": "ENABLED"}}}')
    status, output = run("kill", "new", "--file", path)
    assert (status, "edgeinfer flags check" in output) == (1, True)
