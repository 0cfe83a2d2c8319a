"""`edge-v1`: a device stays in its share, whatever becomes of any library."""

from __future__ import annotations

import json

import cbor2
import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional, normalize_numbers

from edgeinfer.flags.percentages import MOST_WEIGHT, bucket, cbor, chosen, murmur3

# Of 10,000. These never change: a value here that has to be changed is a fleet that moves.
VECTORS = [
    ("", 1540),
    ("device-1", 3072),
    ("gerät", 8161),
    (["flag", "device-1"], 534),
    (["cloud_fallback", "3f2c"], 5621),
    (0, 3175),
    (1, 8920),
    (-1, 4959),
    (255, 4896),
    (65536, 4294),
    (2**32, 7291),
    (2**64, 4459),
    (-(2**64) - 1, 1393),
    (0.5, 5301),
    (1.0, 8920),
    (1.5e300, 187),
    (3.141592653589793, 9606),
    (1e-320, 9479),
    (True, 1946),
    (False, 271),
    ({"b": 1, "a": [None, "x"]}, 273),
    ("x" * 300, 970),
    (["rollout", "a", 7], 7576),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=5) | st.dictionaries(st.text(max_size=30), each, max_size=30),
    max_leaves=20,
)


@pytest.mark.parametrize(("value", "expected"), VECTORS, ids=lambda each: str(each)[:20])
def test_a_value_falls_where_it_always_did(value, expected):
    assert bucket(value, 10_000) == expected


# Published values of MurmurHash3, x86, 32 bits, seed 0.
@pytest.mark.parametrize(("text", "expected"), [("", 0), ("hello", 0x248BFA47), ("hello, world", 0x149BBB7F)])
def test_murmur3_is_what_others_have(text, expected):
    assert murmur3(text.encode()) == expected


@given(st.binary(max_size=100))
def test_the_hash_is_that_of_the_library(data):
    assert murmur3(data) == mmh3.hash(data, signed=False)


@given(JSON)
def test_the_encoding_is_that_of_the_library(value):
    try:
        expected = cbor2.dumps(normalize_numbers(value), canonical=True)
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogates"):
            cbor(value)
        return
    assert cbor(value) == expected


@given(st.text(min_size=1, max_size=40), st.lists(st.integers(-5, 1000), min_size=1, max_size=6))
def test_shares_are_those_of_flagd_s_evaluator(key, weights):
    shares = [[str(index), weight] for index, weight in enumerate(weights)]
    expected = fractional({"targetingKey": key, "$flagd": {"flagKey": "f"}}, *shares)
    found = chosen(["f", key], weights)
    assert (None if found is None else str(found)) == expected


@given(st.text(max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_ramping_up_only_adds(key, before, after):
    """With the rest in the last share, whoever is in at a percentage is in at each higher one."""
    low, high = sorted((before, after))
    if chosen(key, [low, 100 - low]) == 0:
        assert chosen(key, [high, 100 - high]) == 0


def test_shares_of_100000_devices_are_what_was_asked_for():
    count = sum(chosen(["canary", f"device {each}"], [5, 95]) == 0 for each in range(100_000))
    assert abs(count - 5000) < 4 * (100_000 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("weights", [[], [0, 0], [-1], [MOST_WEIGHT, 1]])
def test_weights_that_give_no_shares_give_none(weights):
    assert chosen("x", weights) is None


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", json])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(ValueError, match="no type of JSON"):
        cbor(value)
