"""Answers by the content of what was asked: found by every byte of it, for a time, within a bound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import StoreError
from edgeinfer.fallback import CacheLimits
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.privacy import Consents
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

BOTH = ("device", "cloud")
URL = "http://cloud.test/v2/models/m"
ITEM = {"image": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "more": np.array([[1, 2]], np.int32)}


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock(10_000.0)) as made:
        Consents(made).give("cloud_inference", "1")
        yield made


def cache_of(
    home: Home, limits: CacheLimits | None = None, bundle: str = "bundle", cloud: str = URL
) -> AnswerCache:
    return AnswerCache(home, limits or CacheLimits(), bundle, cloud)


def answer(value: float = 0.5, origin: str = "cloud", size: int = 2) -> RawAnswer:
    return RawAnswer({"y": np.full((1, size), value, np.float32)}, origin, "variant", "engine 1.0")


def value_of(found: RawAnswer | None) -> float | None:
    return None if found is None else float(found.outputs["y"][0, 0])


def changed(item: dict[str, np.ndarray], name: str, at: int) -> dict[str, np.ndarray]:
    data = bytearray(item[name].tobytes())
    data[at] ^= 1
    return {**item, name: np.frombuffer(bytes(data), item[name].dtype).reshape(item[name].shape)}


def test_every_byte_of_every_input_makes_another_key(home):
    cache = cache_of(home)
    items = [ITEM, *(changed(ITEM, name, at) for name in ITEM for at in range(ITEM[name].nbytes))]
    assert len({cache.key(each) for each in items}) == len(items) == 1 + 24 + 8


def test_names_types_shapes_and_order_of_values_make_other_keys(home):
    zeros = np.zeros((1, 4), np.float32)
    items = [
        {"x": zeros},
        {"y": zeros},
        {"x": zeros.view(np.int32)},
        {"x": zeros.view(np.uint32)},
        {"x": zeros.view(np.float16)},
        {"x": zeros.view(np.int8)},
        {"x": zeros.reshape(4, 1)},
        {"x": zeros.reshape(4)},
        {"x": zeros.reshape(1, 2, 2)},
        {"x": zeros[:, :3]},
        {"x": zeros[:, :0]},
        {"x": zeros, "y": zeros},
        {"x": np.zeros((1, 8), np.float32)},
        {"x": np.array([[-0.0, 0, 0, 0]], np.float32)},
        {},
    ]
    keys = [cache_of(home).key(each) for each in items]
    assert [pair for pair in combinations(range(len(keys)), 2) if keys[pair[0]] == keys[pair[1]]] == []


def test_other_bundles_and_servers_have_other_keys_and_equal_ones_the_same(home):
    key = cache_of(home).key(ITEM)
    assert key == cache_of(home, CacheLimits(1, 1.0)).key(
        {name: ITEM[name].copy() for name in reversed(ITEM)}
    )
    assert len(key) == 64
    others = [
        ("bundle2", URL),
        ("bundle", URL + "2"),
        ("bundle", ""),
        ("", URL),
        (URL, "bundle"),
        ("bundl", "e" + URL),
    ]
    assert len({key, *(cache_of(home, None, *each).key(ITEM) for each in others)}) == 1 + len(others)


def test_how_an_array_lies_in_memory_makes_no_difference(home):
    cache, wide = cache_of(home), np.arange(24, dtype=np.float32).reshape(4, 6)
    assert cache.key({"x": wide.T}) == cache.key({"x": np.ascontiguousarray(wide.T)})
    assert cache.key({"x": wide[:, ::2]}) == cache.key({"x": wide[:, ::2].copy()})
    assert cache.key({"x": wide.T}) != cache.key({"x": wide})


def test_an_answer_comes_back_as_it_was(home):
    cache = cache_of(home)
    cache.put(cache.key(ITEM), answer(0.25), "1")
    with Home(home.folder, clock=home.clock) as other:
        found = cache_of(other).get(cache.key(ITEM), BOTH)
    assert (found.origin, found.variant, found.engine) == ("cloud", "variant", "engine 1.0")
    assert {name: each.tolist() for name, each in found.outputs.items()} == {"y": [[0.25, 0.25]]}
    assert cache.get(cache.key(changed(ITEM, "more", 0)), BOTH) is None
    assert cache_of(home, None, "another").get(cache_of(home, None, "another").key(ITEM), BOTH) is None


def test_no_input_is_kept(home):
    mark = b"<a picture of the user's kitchen>"
    cache = cache_of(home)
    cache.put(cache.key({"x": np.frombuffer(mark, np.uint8)}), answer(), "1")
    assert not any(mark in path.read_bytes() for path in Path(home.folder).iterdir())


@pytest.mark.parametrize(
    "value",
    [
        np.array([[-128, 127, 0]], np.int8),
        np.array([[0, 255]], np.uint8),
        np.array([[0.1, -65504, np.inf]], np.float16),
        np.array([[True, False]]),
        np.array([[2**63 - 1, -(2**63)]], np.int64),
        np.array([[1e-300, np.nan]], np.float64),
        np.array([[1.5, -0.0]], ">f4"),
        np.zeros((1, 0, 4), np.float32),
        np.float32(3.5).reshape(()),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
    ],
    ids=str,
)
def test_outputs_of_every_type_come_back_bit_by_bit(home, value):
    cache = cache_of(home)
    cache.put("key", RawAnswer({"y": value, "z": np.zeros(1, np.int32)}, "device", "v", "e"), "1")
    found = cache.get("key", BOTH).outputs
    assert list(found) == ["y", "z"]
    assert (found["y"].shape, found["y"].dtype.kind) == (value.shape, value.dtype.kind)
    assert found["y"].dtype.itemsize == value.dtype.itemsize
    little = value.astype(value.dtype.newbyteorder("<"))
    assert found["y"].tobytes() == little.tobytes()


@pytest.mark.parametrize(
    ("later", "found"),
    [
        (0.0, True),
        (99.9, True),
        (100.0, True),
        (100.1, False),
        (-0.1, True),  # clocks of two processes are read a moment apart
        (-60.0, True),
        (-60.1, False),
        (-1e6, False),
    ],
)
def test_an_answer_is_used_for_its_time_and_never_from_the_future(home, later, found):
    cache = cache_of(home, CacheLimits(ttl_s=100.0))
    cache.put("key", answer(), "1")
    home.clock.set_utc(10_000.0 + later)
    assert (cache.get("key", BOTH) is not None) is found


def test_what_is_too_old_or_from_the_future_goes_with_the_next_answer(home):
    cache = cache_of(home, CacheLimits(ttl_s=60.0))
    for key, at in {
        "old": 9_000.0,
        "just too old": 9_969.9,
        "a just not": 9_970.0,
        "b fine": 10_000.0,
        "c a moment ahead": 10_090.0,
        "ahead": 10_090.1,
        "future": 11_000.0,
    }.items():
        home.clock.set_utc(at)
        with home.transaction() as connection:  # as another process with other limits may leave it
            connection.execute("INSERT INTO answers VALUES (?, 'device', ?, 1, x'00')", (f"{key}:device", at))
    home.clock.set_utc(10_030.0)
    cache.put("new", answer(origin="device"), "1")
    left = [key for (key,) in home.rows("SELECT key FROM answers ORDER BY key")]
    assert left == ["a just not:device", "b fine:device", "c a moment ahead:device", "new:device"]


class Overtaken(FakeClock):
    """A clock behind whose first reading another process is quicker, a moment later."""

    meanwhile: Callable[[], None] | None = None
    done = False

    def utc(self) -> float:
        now, meanwhile, self.meanwhile = super().utc(), self.meanwhile, None
        if meanwhile is not None:
            with suppress(StoreError):  # it is not, where this one has begun its transaction
                meanwhile()
                self.done = True
        return now


def test_an_answer_that_another_keeps_in_the_same_moment_stays(home):
    clock = Overtaken(home.clock.utc())
    with Home(home.folder, clock=FakeClock(home.clock.utc() + 0.001)) as quicker:
        clock.meanwhile = lambda: cache_of(quicker).put("quick", answer(), "1")
        with Home(home.folder, clock=clock) as slower:
            cache_of(slower).put("slow", answer(), "1")
        assert (cache_of(quicker).get("quick", BOTH) is not None) is clock.done
        assert cache_of(quicker).get("slow", BOTH) is not None


def length_of(home: Home) -> int:
    """What one answer takes."""
    cache_of(home).put("measure", answer(), "1")
    (length,) = home.rows("SELECT LENGTH(data) FROM answers")[0]
    with home.transaction() as connection:
        connection.execute("DELETE FROM answers")
    return int(length)


@pytest.mark.parametrize(
    ("room", "left"), [(1.0, ["d"]), (1.9, ["d"]), (2.0, ["c", "d"]), (3.5, ["b", "c", "d"])]
)
def test_the_oldest_go_where_there_is_no_room(home, room, left):
    cache = cache_of(home, CacheLimits(max_bytes=int(length_of(home) * room)))
    for key in "abcd":
        cache.put(key, answer(), "1")
        home.clock.advance(1)
    assert [key for key in "abcd" if cache.get(key, BOTH)] == left
    (total,) = home.rows("SELECT SUM(LENGTH(data)) FROM answers")[0]
    assert total <= length_of(home) * room


def test_the_bound_is_that_of_all_bundles_together(home):
    limits = CacheLimits(max_bytes=length_of(home) * 2)
    for at, bundle in enumerate(["one", "two", "three"]):
        cache_of(home, limits, bundle).put(str(at), answer(), "1")
        home.clock.advance(1)
    assert home.rows("SELECT key FROM answers ORDER BY key") == [("1:cloud",), ("2:cloud",)]


def test_an_answer_that_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out(home):
    cache = cache_of(home, CacheLimits(max_bytes=length_of(home)))
    cache.put("small", answer(), "1")
    cache.put("large", answer(size=1000), "1")
    assert (value_of(cache.get("small", BOTH)), cache.get("large", BOTH)) == (0.5, None)


def test_a_later_answer_takes_the_place_of_an_earlier_one(home):
    cache = cache_of(home, CacheLimits(ttl_s=60.0))
    cache.put("key", answer(0.25), "1")
    home.clock.advance(50)
    cache.put("key", answer(0.75), "1")
    home.clock.advance(50)
    assert value_of(cache.get("key", BOTH)) == 0.75
    assert home.rows("SELECT COUNT(*) FROM answers") == [(1,)]


@pytest.mark.parametrize(
    ("kept", "asked", "value"),
    [
        ((), BOTH, None),
        (("device",), BOTH, 1.0),
        (("cloud",), BOTH, 2.0),
        (("device", "cloud"), BOTH, 2.0),
        (("device", "cloud"), ("device",), 1.0),
        (("device", "cloud"), ("cloud",), 2.0),
        (("cloud",), ("device",), None),
        (("device",), ("cloud",), None),
        (("device", "cloud"), (), None),
    ],
)
def test_a_call_gets_answers_of_what_it_may_ask_alone(home, kept, asked, value):
    cache = cache_of(home)
    for each in kept:
        cache.put("key", answer({"device": 1.0, "cloud": 2.0}[each], each), "1")
    assert value_of(cache.get("key", asked)) == value


@pytest.mark.parametrize(
    ("said", "version", "kept"),
    [
        ([], "1", False),
        ([("give", "cloud_inference", "1")], "1", True),
        ([("give", "cloud_inference", "1")], "2", False),
        ([("give", "cloud_inference", "1"), ("give", "cloud_inference", "2")], "1", False),
        ([("give", "cloud_inference", "1"), ("give", "cloud_inference", "2")], "2", True),
        ([("give", "deferred_inference", "1")], "1", False),
        ([("give", "cloud_inference", "1"), ("withdraw", "cloud_inference")], "1", False),
        ([("give", "cloud_inference", "1"), ("withdraw", "cloud_inference")], "", False),
        ([("give", "cloud_inference", "1"), ("withdraw", "deferred_inference")], "1", True),
    ],
)
def test_an_answer_of_the_cloud_is_kept_while_the_user_agrees_and_one_of_the_device_always(
    tmp_path, said, version, kept
):
    with Home(tmp_path / "another", clock=FakeClock()) as home:
        for how, *values in said:
            getattr(Consents(home), how)(*values)
        for origin in BOTH:
            cache_of(home).put("key", answer(origin=origin), version)
        assert [each for each in BOTH if cache_of(home).get("key", (each,))] == ["device", "cloud"][
            : 1 + kept
        ]


def test_where_the_record_of_consents_was_changed_only_answers_of_the_device_are_kept(home):
    with home.transaction() as connection:
        connection.execute("UPDATE consents SET at = at + 1")
    with pytest.raises(StoreError, match="was changed"):
        cache_of(home).put("key", answer(), "1")
    cache_of(home).put("key", answer(origin="device"), "1")
    assert home.rows("SELECT origin FROM answers") == [("device",)]
