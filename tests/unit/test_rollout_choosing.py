"""Which digest a device runs, and which runs in its shadow: what flags say, and what they cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest

import edgeinfer as ei
from edgeinfer.rollout import Choice, choose, choose_shadow, model_flag, shadow_flag

A, B = "a" * 64, "b" * 64


def answer(flag: ei.Flag, value: Any, **rest: Any) -> Any:
    body = {"state": "ENABLED", "variants": {"v": value}, "defaultVariant": "v", **rest}
    return ei.Flags(bundled=json.dumps({"flags": {flag.key: body}}).encode()).details(flag)


def chosen(value: Any, vetoed: frozenset[str] = frozenset(), **rest: Any) -> Choice:
    return choose(answer(model_flag("vision"), value, **rest), vetoed)


def test_a_digest_is_chosen_with_its_variant_and_rollout():
    assert chosen(A, metadata={"rollout": "r1"}) == Choice(
        A, "v", "r1", "flag model-vision: variant v (STATIC)"
    )
    assert chosen("") == Choice("", "v", "", "flag model-vision: variant v (STATIC)")


@pytest.mark.parametrize(
    ("value", "rest", "reason"),
    [
        (A, {"state": "DISABLED"}, "flag model-vision: was killed"),
        (A, {"defaultVariant": None}, "flag model-vision: says nothing"),
        (A, {"defaultVariant": "w"}, "flag model-vision: it has no variant 'w'"),
        (A, {"targeting": {"/": [1, 0]}}, "its targeting failed"),
        (True, {}, "expected str, found bool"),
        ("A" * 64, {}, "is no digest: expected 64 hexadecimal digits, or nothing"),
        (A[:-1], {}, "is no digest"),
        (A + "\n", {}, "is no digest"),
        ("x" * 10_000, {}, "is no digest"),
    ],
)
def test_an_answer_that_is_none_changes_nothing_and_is_told(value, rest, reason):
    found = chosen(value, **rest)
    assert found.digest is None
    assert found.reason.startswith("what runs goes on: ")
    assert reason in found.reason
    assert len(found.reason) < 300


def test_a_flag_that_is_not_there_changes_nothing():
    found = choose(ei.Flags().details(model_flag("vision")), frozenset())
    assert (found.digest, found.variant) == (None, "")
    assert "there is no such flag" in found.reason


def test_a_stale_flag_falls_back_to_what_it_names():
    flag = model_flag("vision")
    metadata = {"maxStaleSeconds": 0, "staleVariant": "v", "rollout": "r1"}
    assert choose(answer(flag, A, metadata=metadata), frozenset()).digest == A
    metadata["staleVariant"] = "none"
    assert choose(answer(flag, A, metadata=metadata), frozenset()).digest is None


@pytest.mark.parametrize(
    ("value", "vetoed", "expected"),
    [(A, {A}, None), (A, {B}, A), ("", {""}, None), ("", {A}, "")],
)
def test_a_veto_has_the_first_word(value, vetoed, expected):
    found = chosen(value, frozenset(vetoed))
    assert found.digest == expected
    assert ("vetoed" in found.reason) == (expected is None)
    assert found.variant == "v"


@pytest.mark.parametrize("rollout", [7, True, ""])
def test_a_rollout_s_id_is_text(rollout):
    assert chosen(A, metadata={"rollout": rollout}).rollout == ""


@pytest.mark.parametrize(
    ("value", "rest", "expected", "reason"),
    [
        ({"digest": A, "sample": 0.1}, {}, (A, 0.1), "variant v"),
        ({"digest": A, "sample": 1}, {}, (A, 1.0), "variant v"),
        ({}, {}, (None, 0.0), "none is asked for"),
        ({"digest": A, "sample": 0.1}, {"state": "DISABLED"}, (None, 0.0), "was killed"),
        ({"digest": A, "sample": 1.1}, {}, (None, 0.0), "sample is 1.1: expected 0 to 1"),
        ({"digest": A, "sample": float("nan")}, {}, (None, 0.0), "sample is nan"),
        ({"digest": A, "sample": True}, {}, (None, 0.0), "sample is True"),
        ({"digest": A, "sample": "1"}, {}, (None, 0.0), "sample is 1"),
        ({"digest": A}, {}, (None, 0.0), "sample is None"),
        ({"digest": "", "sample": 1}, {}, (None, 0.0), "is no digest"),
        ({"digest": 7, "sample": 1}, {}, (None, 0.0), "is no digest"),
        ({"digest": [A], "sample": 1}, {}, (None, 0.0), "is no digest"),
        ({"sample": 1}, {}, (None, 0.0), "is no digest"),
        ({"digest": B, "sample": 1}, {}, (None, 0.0), "serves already"),
        ({"digest": "c" * 64, "sample": 1}, {}, (None, 0.0), "vetoed"),
        ("text", {}, (None, 0.0), "expected dict, found str"),
    ],
)
def test_what_runs_in_the_shadow(value, rest, expected, reason):
    found = choose_shadow(answer(shadow_flag("vision"), value, **rest), {"c" * 64}, running=B)
    assert (found.digest, found.sample) == expected
    assert reason in found.reason
