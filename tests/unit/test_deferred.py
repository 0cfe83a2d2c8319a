"""Cases that wait for the cloud: sealed, bounded, each given to one at a time, erased when they are too old."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from edgeinfer.cloud import Tensor
from edgeinfer.errors import StoreError
from edgeinfer.fallback import QueueLimits
from edgeinfer.fallback.deferred import DeferredQueue, Waiting
from edgeinfer.privacy import Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
MARK = b"<a picture of the user's kitchen>"
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as made:
        yield made


def queue_of(
    home: Home, limits: QueueLimits | None = None, bundle: str = "bundle", key: bytes = KEY
) -> DeferredQueue:
    return DeferredQueue(home, limits or QueueLimits(), bundle, Sealer(key))


def case(value: float = 0.0) -> list[Tensor]:
    return [Tensor("x", "FP32", np.full((1, 4), value, np.float32))]


def put(queue: DeferredQueue, *values: float) -> list[str]:
    """Let cases wait, a second apart."""
    numbers = []
    for value in values:
        number = queue.put(case(value), {"label": None})
        assert number is not None
        numbers.append(number)
        queue._home.clock.advance(1)
    return numbers


def value_of(waiting: Waiting | None) -> float | None:
    return None if waiting is None else float(waiting.tensors[0].value[0, 0])


def claimed(queue: DeferredQueue) -> list[float]:
    """The cases that can be had now."""
    found = []
    while (waiting := queue.claim()) is not None:
        found.append(value_of(waiting))
    return found


def counted(home: Home) -> dict[str, int]:
    return dict(home.rows("SELECT name, count FROM counters"))


def test_a_case_comes_back_as_it_was(home):
    file = np.empty(1, object)
    file[0] = b"\x89PNG"
    tensors = [Tensor("x", "FP16", np.array([[0.5, 2.0]], np.float16)), Tensor("file", "BYTES", file)]
    begun = home.clock.utc()
    number = queue_of(home).put(tensors, {"label": "ä", "size": [1, 2]})
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
    assert claimed(queue) == [1, 2, 3]
    assert len(queue) == 3
    for at, number in enumerate(numbers):
        queue.drop(number, "deferred.answered")
        assert (len(queue), home.counted("deferred.answered")) == (2 - at, at + 1)
    assert home.rows("SELECT * FROM deferred") == []


def test_a_case_that_is_given_back_is_had_again_in_its_turn(home):
    queue = queue_of(home)
    numbers = put(queue, 1, 2, 3)
    assert [value_of(queue.claim()) for _ in range(2)] == [1, 2]
    queue.release(numbers[0])
    assert claimed(queue) == [1, 3]
    assert counted(home) == {}


@pytest.mark.parametrize(
    ("later", "there"), [(0.0, False), (1.0, False), (60.0, False), (HOUR, True), (DAY, True), (-HOUR, True)]
)
def test_a_case_whose_process_ended_comes_back_after_a_while(home, later, there):
    queue = queue_of(home)
    put(queue, 1)
    assert value_of(queue.claim()) == 1
    home.clock.advance(later)
    with Home(home.folder, clock=home.clock) as other:
        assert claimed(queue_of(other)) == [1] * there


def test_a_case_that_came_back_is_again_for_one_alone(home):
    queue = queue_of(home)
    put(queue, 1)
    assert claimed(queue) == [1]
    home.clock.advance(HOUR)
    assert claimed(queue) == [1]


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
        queue.put(tensors, {"label": "a-secret-label"})
    waiting = queue.claim()
    assert waiting.tensors[0].value.tobytes() == MARK
    assert {path.name for path in home.folder.iterdir()} >= {"home.db", "home.db-wal"}
    for path in home.folder.iterdir():
        data = path.read_bytes()
        assert not any(
            each in data for each in (MARK, MARK[:8], b"a-secret", KEY, KEY[:8], KEY.hex().encode())
        )


def size_of_one(home: Home) -> int:
    queue_of(home).put(case(), {"label": None})
    ((size,),) = home.rows("SELECT LENGTH(sealed) FROM deferred")
    with home.transaction() as connection:
        connection.execute("DELETE FROM deferred")
    return int(size)


@pytest.mark.parametrize(("room", "fit"), [(0.9, 0), (1.0, 1), (1.9, 1), (2.0, 2), (3.5, 3)])
def test_where_there_is_no_room_a_case_does_not_wait_and_is_counted(home, room, fit):
    queue = queue_of(home, QueueLimits(max_bytes=int(size_of_one(home) * room)))
    taken = [queue.put(case(at), {"label": None}) is not None for at in range(4)]
    assert taken == [True] * fit + [False] * (4 - fit)
    assert (len(queue), home.counted("deferred.full")) == (fit, 4 - fit)


def test_room_is_shared_by_all_and_comes_back_with_what_leaves(home):
    limits = QueueLimits(max_bytes=size_of_one(home))
    one, other = (queue_of(home, limits, bundle) for bundle in ("a", "b"))
    (number,) = put(one, 1)
    assert other.put(case(), {"label": None}) is None
    one.drop(number, "deferred.answered")
    assert other.put(case(), {"label": None}) is not None


@pytest.mark.parametrize(
    ("later", "there"), [(0.0, True), (HOUR - 0.5, True), (HOUR + 0.5, False), (DAY, False)]
)
@pytest.mark.parametrize("taken", [False, True])
def test_a_case_waits_for_its_time_and_is_erased_and_counted_behind_it(home, later, there, taken):
    queue = queue_of(home, QueueLimits(ttl_s=HOUR))
    queue.put(case(1), {"label": None})
    queue.put(case(2), {"label": None})
    (first,) = home.rows("SELECT id FROM deferred LIMIT 1")[0]
    if taken:
        queue.claim(), queue.claim()
    home.clock.advance(later)
    queue.release(first)
    assert (queue.claim() is not None) is there
    assert (len(queue), home.counted("deferred.expired")) == ((2, 0) if there else (0, 2))


def test_what_is_too_old_makes_room_also_that_of_a_bundle_that_is_gone(home):
    limits = QueueLimits(max_bytes=size_of_one(home), ttl_s=HOUR)
    put(queue_of(home, limits, "an earlier one", OTHER_KEY), 1)
    assert queue_of(home, limits).put(case(), {"label": None}) is None
    home.clock.advance(HOUR)
    assert queue_of(home, limits).put(case(), {"label": None}) is not None
    assert home.counted("deferred.expired") == 1


def test_a_case_from_the_future_does_not_stay_beyond_its_time(home):
    queue, now = queue_of(home, QueueLimits(ttl_s=HOUR)), home.clock.utc()
    home.clock.set_utc(now + 3650 * DAY)  # the clock was wrong
    queue.put(case(1), {"label": None})
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
        queue_of(home).put(case(), {"label": None})
    other.close()
    assert len(queue_of(home)) == 0


def test_what_is_said_of_a_case_that_left_meanwhile_brings_it_not_back(home):
    queue = queue_of(home)
    (number,) = put(queue, 1)
    queue.claim()
    with home.transaction() as connection:
        connection.execute("DELETE FROM deferred")  # the user took the consent back
    queue.release(number)
    assert (queue.claim(), len(queue)) == (None, 0)


class Overtaken(FakeClock):
    """A clock behind whose first reading another process is quicker, a moment later."""

    meanwhile: Callable[[], object] | None = None

    def utc(self) -> float:
        now, meanwhile, self.meanwhile = super().utc(), self.meanwhile, None
        if meanwhile is not None:
            with suppress(StoreError):  # it is not, where this one has begun its transaction
                meanwhile()
        return now


def test_a_case_that_another_takes_in_the_same_moment_is_not_had_twice(home):
    put(queue_of(home), 1)
    with Home(home.folder, clock=FakeClock(home.clock.utc() + 0.001)) as quicker:
        clock, taken = Overtaken(home.clock.utc()), []
        clock.meanwhile = lambda: taken.extend(claimed(queue_of(quicker)))
        with Home(home.folder, clock=clock) as slower:
            assert [*claimed(queue_of(slower)), *taken] == [1]


def test_threads_never_have_the_same_case(home):
    put(queue_of(home), *range(40))
    found = []

    def work(used: Home) -> None:
        found.extend(claimed(queue_of(used)))

    with Home(home.folder, clock=home.clock) as other:
        threads = [threading.Thread(target=work, args=(each,)) for each in (home, other) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
    assert sorted(found) == list(range(40))


def test_processes_never_have_the_same_case(tmp_path):
    text = """
import sys
from edgeinfer.errors import StoreError
from edgeinfer.fallback import QueueLimits
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.privacy import Sealer
from edgeinfer.store import Home
queue = DeferredQueue(Home(sys.argv[1]), QueueLimits(), "bundle", Sealer(bytes(range(32))))
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        waiting = queue.claim()
    except StoreError:  # it was another's turn for too long
        continue
    if waiting is None:
        break
    print(waiting.id, flush=True)
"""
    with Home(tmp_path) as home:
        numbers = [queue_of(home).put(case(at), {"label": None}) for at in range(60)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [each.stdout.readline() for each in workers] == ["ready\n"] * 3
    for each in workers:
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60)[0].split() for each in workers]
    assert sorted(number for each in said for number in each) == sorted(numbers)
