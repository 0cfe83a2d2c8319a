"""What the cache and the queue keep as bytes: whole, or nothing, however it was damaged."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from edgeinfer.cloud import Tensor
from edgeinfer.errors import StoreError
from edgeinfer.fallback import CacheLimits, QueueLimits
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.fallback.packing import pack, unpack
from edgeinfer.privacy import PURPOSES, Consents, Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

BOTH = ("device", "cloud")


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock(10_000.0)) as made:
        for purpose in PURPOSES:
            Consents(made).give(purpose, "1")
        yield made


def cache_of(home: Home) -> AnswerCache:
    return AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test/v2/models/m")


def answer(value: float = 0.5) -> RawAnswer:
    return RawAnswer({"y": np.full((1, 2), value, np.float32)}, "cloud", "variant", "engine 1.0")


def value_of(found: RawAnswer | None) -> float | None:
    return None if found is None else float(found.outputs["y"][0, 0])


def packed(listed: object, about: object, rest: bytes = bytes(8)) -> bytes:
    """What is packed, without the digest before it."""
    head = json.dumps({"about": about, "tensors": listed}).encode()
    return len(head).to_bytes(4, "little") + head + rest


def signed(data: bytes) -> bytes:
    """Bytes behind their digest, as a release that packs otherwise may leave them."""
    return hashlib.sha256(data).digest() + data


ROW, TOLD = ["y", "FP32", [1, 2], 8], {"variant": "v", "engine": "e"}


DAMAGED = {
    "nothing": b"",
    "noise": b"\xff" * 64,
    "an empty head": b"\x02\0\0\0{}",
    "a list": b"\x02\0\0\0[]",
    "null": b"\x04\0\0\0null",
    "a deep list": b"\xa0\x86\x01\0" + b"[" * 100_000,
    "a byte too few": packed([ROW], TOLD, bytes(7)),
    "another shape": packed([["y", "FP32", [1, 3], 8]], TOLD),
    "another type": packed([["y", "FP31", [1, 2], 8]], TOLD),
    "negative lengths": packed([["y", "FP32", [-1, -2], 8]], TOLD),
    "a length that is text": packed([["y", "FP32", ["a"], 8]], TOLD),
    "no shape": packed([["y", "FP32", None, 8]], TOLD),
    "no size": packed([["y", "FP32", [1, 2], None]], TOLD),
    "a field too few": packed([["y", "FP32", [1, 2]]], TOLD),
    "bytes cut off": packed([["y", "BYTES", [1], 8]], TOLD, b"\xff" * 8),
    "tensors by name": packed({"y": 1}, TOLD),
    "a name that is a list": packed([[["y"], "FP32", [1, 2], 8]], TOLD),
    "nothing about it": packed([ROW], {}),
    "half about it": packed([ROW], {"variant": "v"}),
    "null about it": packed([ROW], None),
    "a list about it": packed([ROW], []),
}


def found_with(home: Home, data: bytes) -> RawAnswer | None:
    """What a cache finds where its one row holds other bytes; a StoreError counts as nothing."""
    with home.transaction() as connection:
        connection.execute("UPDATE answers SET data = ?", (data,))
    try:
        return cache_of(home).get("key", BOTH)
    except StoreError:
        return None


def test_an_answer_is_packed_as_these_tests_do_it(home):
    assert signed(packed([ROW], TOLD)) == pack([Tensor("y", "FP32", np.zeros((1, 2), np.float32))], TOLD)
    cache_of(home).put("key", answer(), "1")
    assert value_of(found_with(home, signed(packed([ROW], TOLD)))) == 0.0
    # The digest is looked at first.
    assert found_with(home, packed([ROW], TOLD)) is None
    assert found_with(home, bytes(32) + packed([ROW], TOLD)) is None


@pytest.mark.parametrize("as_kept", [bytes, signed])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_row_that_is_damaged_is_no_answer_and_is_replaced(home, data, as_kept):
    cache_of(home).put("key", answer(), "1")
    assert found_with(home, as_kept(data)) is None
    cache_of(home).put("key", answer(0.75), "1")
    assert value_of(cache_of(home).get("key", BOTH)) == 0.75


def test_a_flipped_bit_of_a_row_is_never_another_answer(home):
    cache_of(home).put("key", answer(), "1")
    ((data,),) = home.rows("SELECT data FROM answers")
    others = []
    for at in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        if found_with(home, bytes(damaged)) is not None:
            others.append(at)
    assert others == []


def test_packing_holds_tensors_and_what_is_to_be_known_of_them():
    texts = np.empty(2, object)
    texts[:] = [b"a file", b""]
    tensors = [Tensor("x", "BYTES", texts), Tensor("y", "BF16", np.array([[1.5, -2.0]], np.float32))]
    found, about = unpack(pack(tensors, {"label": None, "n": [1, "ä"]}))
    assert about == {"label": None, "n": [1, "ä"]}
    assert [(each.name, each.datatype, each.value.tolist()) for each in found] == [
        ("x", "BYTES", [b"a file", b""]),
        ("y", "BF16", [[1.5, -2.0]]),
    ]


def test_what_was_packed_and_then_changed_by_a_bit_a_byte_or_its_end_is_a_store_error():
    data = pack([Tensor("y", "FP32", np.ones((1, 2), np.float32))], TOLD)
    assert data[:32] == hashlib.sha256(data[32:]).digest()
    changes = [data[:length] for length in range(len(data))] + [data + b"\0", b"\0" + data]
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        changes.append(bytes(flipped))
    for each in changes:
        with pytest.raises(StoreError, match="damaged"):
            unpack(each)


# What else a case needs the queue does not know.
SOUND = ("nothing about it", "half about it")


@pytest.mark.parametrize("as_kept", [bytes, signed])
@pytest.mark.parametrize("name", [name for name in DAMAGED if name not in SOUND])
def test_a_case_that_was_sealed_and_is_no_case_is_erased_and_counted(home, name, as_kept):
    sealer = Sealer(bytes(32))
    queue = DeferredQueue(home, QueueLimits(), "bundle", sealer)
    number = queue.put([Tensor("y", "FP32", np.zeros((1, 2), np.float32))], TOLD, "1")
    sealed = sealer.seal(as_kept(DAMAGED[name]), f"edgeinfer deferred bundle {number}".encode())
    with home.transaction() as connection:
        connection.execute("UPDATE deferred SET sealed = ?", (sealed,))
    assert (queue.claim(), len(queue)) == (None, 0)
    assert home.counted("deferred.damaged") == 1
