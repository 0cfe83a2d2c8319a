"""Whatever a document, a rule or a context holds: it is refused whole, or read; and a read raises nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import edgeinfer as ei
from edgeinfer.errors import FlagError
from edgeinfer.flags import document_faults, read_document
from edgeinfer.flags.grammar import faults

OPERATORS = [
    "if", "or", "and", "+", "-", "max", "min", "merge", "cat", "==", "===", "!=", "!==", ">", ">=", "%", "/", "in",
    "map", "filter", "all", "none", "some", "substr", "<", "<=", "*", "reduce", "!", "!!", "var", "missing",
    "missing_some",
    "starts_with", "ends_with", "sem_ver", "fractional", "$ref", "nothing",
]  # fmt: skip
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
RULES = st.recursive(
    PLAIN | st.sampled_from(["$flagd.timestamp", "x", "targetingKey", "1.2.3", "on", "^"]),
    lambda each: (
        st.lists(each, max_size=4)
        | st.dictionaries(
            st.sampled_from(OPERATORS), st.lists(each, max_size=4) | each, min_size=1, max_size=1
        )
    ),
    max_leaves=25,
)
JSON = st.recursive(
    PLAIN, lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=8), each, max_size=4)
)
CONTEXTS = st.dictionaries(st.sampled_from(["x", "targetingKey", "y"]), JSON, max_size=3)
CLOUD = ei.Flag("cloud", default=False)


def document(rule: Any) -> bytes:
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": rule,
    }
    return json.dumps({"flags": {"cloud": flag}, "$evaluators": {"x": rule}}).encode()


@given(RULES, CONTEXTS, CONTEXTS)
def test_a_read_raises_nothing_and_gives_a_boolean(rule, context, call):
    flags = ei.Flags(context, bundled=document(rule))
    for told in (flags.details(CLOUD), flags.details(CLOUD, call)):
        assert told.value in (True, False)
        assert isinstance(told.value, bool)
        assert (told.reason == "ERROR") == (told.error is not None)
    assert flags.value(CLOUD) is flags.details(CLOUD).value


@given(RULES)
def test_a_rule_without_faults_is_one_that_a_device_reads(rule):
    if isinstance(rule, dict) and not list(faults(rule)) and not document_faults(document(rule)):
        assert not read_document(document(rule)).flags["cloud"].fault


@given(st.binary(max_size=200) | JSON.map(lambda each: json.dumps(each).encode()))
def test_any_bytes_are_a_document_or_a_flag_error(data):
    refused = None
    try:
        read_document(data)
    except FlagError as error:
        refused = str(error)
    assert refused is None or document_faults(data) == [refused]


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), JSON, JSON)
def test_any_flags_are_read_and_each_fails_alone(flags, metadata, evaluators):
    whole = {
        "flags": {**flags, "good": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}}
    }
    if isinstance(metadata, dict):
        whole["metadata"] = metadata
    data = json.dumps({**whole, "$evaluators": evaluators}).encode()
    try:
        read = ei.Flags(bundled=data)
    except FlagError:
        return
    assert read.value(ei.Flag("good", default=False)) is True
    for key in filter(None, flags):
        assert isinstance(read.value(ei.Flag(key, default="")), str)
