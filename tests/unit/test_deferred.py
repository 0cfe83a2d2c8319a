"""Cases that wait for the cloud: sealed, bounded, with consent alone, erased when they are too old."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import numpy as np
import pytest
from waiting_cases import KEY, agree, case, claimed, counted, put, queue_of, taken, value_of

from edgeinfer.cloud import Tensor
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.fallback import QueueLimits
from edgeinfer.fallback.deferred import CLAIM_S
from edgeinfer.privacy import PURPOSES, Consents
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

OTHER_KEY = bytes(32)
MARK = b"<a picture of the user's kitchen>"
HOUR, DAY = 3600.0, 86_400.0
NOW, DEFERRED = PURPOSES


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as made:
        agree(made)
        yield made


def test_a_case_comes_back_as_it_was(home):
    file = np.empty(1, object)
    file[0] = b"\x89PNG"
    tensors = [Tensor("x", "FP16", np.array([[0.5, 2.0]], np.float16)), Tensor("file", "BYTES", file)]
    begun = home.clock.utc()
    number = queue_of(home).put(tensors, {"label": "ä", "size": [1, 2]}, "1")
    home.clock.advance(HOUR)
    with Home(home.folder, clock=home.clock) as other:
        waiting = queue_of(other).claim()
    assert (waiting.id, waiting.at, waiting.about) == (number, begun, {"label": "ä", "size": [1, 2]})
    assert [(each.name, each.datatype, each.value.tolist()) for each in waiting.tensors] == [
        ("x", "FP16", [[0.5, 2.0]]),
        ("file", "BYTES", [b"\x89PNG"]),
    ]


def test_the_oldest_is_had_first_each_once_and_all_wait_until_they_are_dropped(home):
    queue = queue_of(home)
    numbers = put(queue, 1, 2, 3)
    assert (len(queue), len(set(numbers))) == (3, 3)
    cases = taken(queue)
    assert [(each.id, value_of(each)) for each in cases] == list(zip(numbers, [1, 2, 3], strict=True))
    assert len(queue) == 3
    for at, each in enumerate(cases):
        queue.drop(each, "deferred.answered")
        assert (len(queue), home.counted("deferred.answered")) == (2 - at, at + 1)
    assert home.rows("SELECT * FROM deferred") == []


def test_a_case_that_is_given_back_is_had_again_in_its_turn(home):
    queue = queue_of(home)
    put(queue, 1, 2, 3)
    cases = [queue.claim() for _ in range(2)]
    assert [value_of(each) for each in cases] == [1, 2]
    queue.release(cases[0])
    assert claimed(queue) == [1, 3]
    assert counted(home) == {}


def test_cases_of_another_bundle_or_key_are_left_to_it(home):
    queues = [queue_of(home, None, *which) for which in (("a", KEY), ("b", KEY), ("a", OTHER_KEY))]
    for at, queue in enumerate(queues):
        put(queue, *([at] * (at + 1)))
    assert [len(queue) for queue in queues] == [1, 2, 3]
    assert [claimed(queue) for queue in queues] == [[0], [1, 1], [2, 2, 2]]
    assert counted(home) == {}


def test_nothing_of_a_case_can_be_read_from_the_files(home):
    queue = queue_of(home)
    tensors = [Tensor("a-secret-name", "UINT8", np.frombuffer(MARK, np.uint8).reshape(1, -1))]
    for _ in range(20):
        queue.put(tensors, {"label": "a-secret-label"}, "1")
    waiting = queue.claim()
    assert waiting.tensors[0].value.tobytes() == MARK
    assert {path.name for path in home.folder.iterdir()} >= {"home.db", "home.db-wal"}
    for path in home.folder.iterdir():
        data = path.read_bytes()
        assert not any(
            each in data for each in (MARK, MARK[:8], b"a-secret", KEY, KEY[:8], KEY.hex().encode())
        )


def size_of_one(home: Home) -> int:
    queue_of(home).put(case(), {"label": None}, "1")
    ((size,),) = home.rows("SELECT LENGTH(sealed) FROM deferred")
    with home.transaction() as connection:
        connection.execute("DELETE FROM deferred")
    return int(size)


@pytest.mark.parametrize(("room", "fit"), [(0.9, 0), (1.0, 1), (1.9, 1), (2.0, 2), (3.5, 3)])
def test_where_there_is_no_room_a_case_does_not_wait_and_is_counted(home, room, fit):
    queue = queue_of(home, QueueLimits(max_bytes=int(size_of_one(home) * room)))
    taken = [queue.put(case(at), {"label": None}, "1") is not None for at in range(4)]
    assert taken == [True] * fit + [False] * (4 - fit)
    assert (len(queue), home.counted("deferred.full")) == (fit, 4 - fit)


def test_room_is_shared_by_all_and_comes_back_with_what_leaves(home):
    limits = QueueLimits(max_bytes=size_of_one(home))
    one, other = (queue_of(home, limits, bundle) for bundle in ("a", "b"))
    put(one, 1)
    assert other.put(case(), {"label": None}, "1") is None
    one.drop(one.claim(), "deferred.answered")
    assert other.put(case(), {"label": None}, "1") is not None


@pytest.mark.parametrize(
    ("later", "there"), [(0.0, True), (HOUR - 0.5, True), (HOUR + 0.5, False), (DAY, False)]
)
@pytest.mark.parametrize("had", [False, True])
def test_a_case_waits_for_its_time_and_is_erased_and_counted_behind_it(home, later, there, had):
    queue = queue_of(home, QueueLimits(ttl_s=HOUR))
    queue.put(case(1), {"label": None}, "1")
    queue.put(case(2), {"label": None}, "1")
    cases = taken(queue) if had else []
    assert len(cases) == (2 if had else 0)
    home.clock.advance(later)
    for each in cases[:1]:
        queue.release(each)
    assert (queue.claim() is not None) is there
    assert (len(queue), home.counted("deferred.expired")) == ((2, 0) if there else (0, 2))


def test_what_is_too_old_makes_room_also_that_of_a_bundle_that_is_gone(home):
    limits = QueueLimits(max_bytes=size_of_one(home), ttl_s=HOUR)
    put(queue_of(home, limits, "an earlier one", OTHER_KEY), 1)
    assert queue_of(home, limits).put(case(), {"label": None}, "1") is None
    home.clock.advance(HOUR)
    assert queue_of(home, limits).put(case(), {"label": None}, "1") is not None
    assert home.counted("deferred.expired") == 1


@pytest.mark.parametrize(
    ("ahead", "there"), [(1.0, True), (CLAIM_S, True), (CLAIM_S + 0.1, False), (HOUR, False)]
)
@pytest.mark.parametrize("had", [False, True])
def test_a_case_of_a_clock_that_is_a_moment_ahead_waits_and_one_from_the_future_is_erased(
    home, ahead, there, had
):
    queue, now = queue_of(home), home.clock.utc()
    home.clock.advance(ahead)
    queue.put(case(1), {"label": None}, "1")
    for each in taken(queue) if had else ():
        queue.release(each)
    home.clock.set_utc(now)
    assert claimed(queue) == [1] * there
    assert (len(queue), counted(home)) == ((1, {}) if there else (0, {"deferred.expired": 1}))


def test_a_case_from_the_future_does_not_stay_beyond_its_time(home):
    queue, now = queue_of(home, QueueLimits(ttl_s=HOUR)), home.clock.utc()
    home.clock.set_utc(now + 3650 * DAY)  # the clock was wrong
    queue.put(case(1), {"label": None}, "1")
    home.clock.set_utc(now)
    queue.claim()
    home.clock.advance(HOUR + 1)
    assert queue.claim() is None
    assert len(queue) == 0


def flipped(sealed: bytes, _other: bytes) -> bytes:
    return sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda sealed, _: sealed[:-1],
        lambda _, __: b"",
        lambda _, other: other,
        lambda sealed, _: sealed + b"0",
    ],
    ids=["a flipped bit", "cut off", "nothing", "that of another case", "a byte more"],
)
def test_cases_that_are_damaged_are_erased_and_counted_and_the_others_are_had(
    home, damage: Callable[[bytes, bytes], bytes]
):
    queue = queue_of(home)
    put(queue, 1, 2, 3, 4)
    rows = home.rows("SELECT id, sealed FROM deferred ORDER BY at")
    with home.transaction() as connection:
        for at in (0, 2):
            connection.execute(
                "UPDATE deferred SET sealed = ? WHERE id = ?", (damage(rows[at][1], rows[3][1]), rows[at][0])
            )
    assert claimed(queue) == [2, 4]
    assert (len(queue), counted(home)) == (2, {"deferred.damaged": 2})


def test_a_case_cannot_be_handed_to_another_bundle(home):
    put(queue_of(home, None, "a"), 1)
    with home.transaction() as connection:
        connection.execute("UPDATE deferred SET bundle = 'b'")
    assert queue_of(home, None, "b").claim() is None
    assert counted(home) == {"deferred.damaged": 1}


def test_a_case_that_cannot_be_kept_is_a_store_error(home):
    other = sqlite3.connect(home.folder / "home.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        queue_of(home).put(case(), {"label": None}, "1")
    other.close()
    assert len(queue_of(home)) == 0


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ([], NOW),
        ([("give", NOW, "1")], DEFERRED),
        ([("give", DEFERRED, "1")], NOW),
        ([("give", NOW, "1"), ("give", DEFERRED, "2")], DEFERRED),
        ([("give", NOW, "2"), ("give", DEFERRED, "1")], NOW),
        ([("give", NOW, "1"), ("give", DEFERRED, "1"), ("give", NOW, "2")], NOW),
        ([("give", NOW, "1"), ("give", DEFERRED, "1"), ("withdraw", NOW)], NOW),
        ([("give", NOW, "1"), ("give", DEFERRED, "1"), ("withdraw", DEFERRED)], DEFERRED),
    ],
)
def test_no_case_waits_without_both_consents_in_that_version(tmp_path, said, missing):
    with Home(tmp_path / "another", clock=FakeClock()) as home:
        for how, *values in said:
            getattr(Consents(home), how)(*values)
        for limits in (QueueLimits(), QueueLimits(max_bytes=1)):
            with pytest.raises(PolicyError, match="took the consent back") as error:
                queue_of(home, limits).put(case(), {"label": None}, "1")
            assert error.value.found == missing
        assert (home.rows("SELECT * FROM deferred"), counted(home)) == ([], {})
        agree(home)
        assert queue_of(home).put(case(), {"label": None}, "1") is not None


def test_no_case_waits_where_the_record_of_consents_was_changed(home):
    put(queue_of(home), 1)
    with home.transaction() as connection:
        connection.execute("UPDATE consents SET version = '2' WHERE id = 1")
    for version in ("1", "2"):
        with pytest.raises(StoreError, match="was changed"):
            queue_of(home).put(case(), {"label": None}, version)
    assert len(queue_of(home)) == 1
