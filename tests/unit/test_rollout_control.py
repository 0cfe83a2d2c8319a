"""A/B with a control of equal size, beside the rest: how documents get one, and what becomes of it in a ramp."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from edgeinfer.cli.flags import flags as command
from edgeinfer.errors import FlagError
from edgeinfer.flags import document_faults, ramped

PLAIN = {"state": "ENABLED", "variants": {"new": "n", "old": "o"}, "defaultVariant": "old"}


def document(**changes: Any) -> dict[str, Any]:
    return {"flags": {"model": {**PLAIN, **changes}}, "metadata": {"version": "3"}}


def shares(parsed: dict[str, Any]) -> list[Any]:
    return parsed["flags"]["model"]["targeting"]["fractional"]


@pytest.mark.parametrize(
    ("percent", "weights"),
    [
        (0, (0, 100_000, 0)),
        (0.001, (1, 99_998, 1)),
        (5, (5_000, 90_000, 5_000)),
        (50, (50_000, 0, 50_000)),
        (50.001, (50_001, 0, 49_999)),
        (75, (75_000, 0, 25_000)),
        (100, (100_000, 0, 0)),
    ],
)
def test_a_control_has_the_last_share_of_the_same_size(percent, weights):
    new = ramped(document(), "model", percent, "new", control=True)
    assert shares(new) == [list(each) for each in zip(("new", "old", "control"), weights, strict=True)]
    assert new["flags"]["model"]["variants"] == {"new": "n", "old": "o", "control": "o"}
    assert not document_faults(json.dumps(new).encode())


def test_a_control_goes_on_in_the_next_ramp():
    first = ramped(document(), "model", 5, "new", control=True)
    for again in (ramped(first, "model", 10), ramped(first, "model", 10, "new", control=True)):
        assert shares(again) == [["new", 10_000], ["old", 80_000], ["control", 10_000]]
        assert again["metadata"] == {"version": "5"}


def test_a_ramp_that_has_begun_may_get_a_control():
    by = {"var": "site"}
    begun = document(targeting={"fractional": [by, ["new", 1], ["old", 99]]})
    rule = ramped(begun, "model", 5, control=True)["flags"]["model"]["targeting"]["fractional"]
    assert rule == [by, ["new", 5_000], ["old", 90_000], ["control", 5_000]]
    assert begun["flags"]["model"]["targeting"] == {"fractional": [by, ["new", 1], ["old", 99]]}


def test_the_control_is_what_the_rest_is():
    """Where the rest is not the default, as in one branch of a rule."""
    rule = {"if": [{"var": "pro"}, {"fractional": [["new", 1], ["other", 99]]}]}
    flag = {"variants": {"new": "n", "old": "o", "other": "x"}, "targeting": rule}
    new = ramped(document(**flag), "model", 5, control=True)["flags"]["model"]
    assert new["variants"]["control"] == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"targeting": {"fractional": [["new", 1], ["control", 1]]}, "variants": {"new": "n", "control": "o"}},
            """cannot have a control: expected names of variants, none of them 'control', found "new" and "control\"""",
        ),
        ({"targeting": {"fractional": [["control", 1], ["old", 1]]}}, 'found "control" and "old"'),
        ({"targeting": {"fractional": [["new", 1], [{"var": "x"}, 1]]}}, "cannot have a control"),
        ({"targeting": {"fractional": [["new", 1], ["none", 1]]}}, "cannot have a control"),
        (
            {
                "variants": {"new": "n", "old": "o", "control": "n"},
                "targeting": {"fractional": [["new", 1], ["old", 1]]},
            },
            'the control of flag model: expected "o", found "n"',
        ),
        ({"targeting": {"fractional": [["new", 1], ["old", 1], ["more", 1]]}}, "found 3 shares"),
        ({"targeting": {"fractional": [["new", 1], ["old", 1], ["control", 1], ["more", 1]]}}, "found 4 shares"),
        ({"targeting": {"fractional": [["control", 1]]}}, "found 1 shares"),
    ],
)  # fmt: skip
def test_what_cannot_have_a_control_is_told(changes, message):
    with pytest.raises(FlagError, match=message):
        ramped(document(**changes), "model", 5, control=True)


def test_a_control_that_was_changed_by_hand_is_told():
    first = ramped(document(), "model", 5, "new", control=True)
    first["flags"]["model"]["variants"]["old"] = "p"
    with pytest.raises(FlagError, match='the control of flag model: expected "p", found "o"'):
        ramped(first, "model", 10)


def test_the_command(tmp_path):
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(document()))
    words = ["ramp", "model", "5%", "--variant", "new", "--control", "--file", str(path)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0
    assert '["control", 5000]' in done.output
    assert shares(json.loads(path.read_text()))[2] == ["control", 5_000]
    done = CliRunner().invoke(command, ["ramp", "model", "20%", "--file", str(path)])
    assert done.exit_code == 0
    assert shares(json.loads(path.read_text())) == [["new", 20_000], ["old", 60_000], ["control", 20_000]]
