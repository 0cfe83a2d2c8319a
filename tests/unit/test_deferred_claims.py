"""Cases that wait are each given to one at a time; what others say of them then counts for nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from waiting_cases import agree, case, claimed, counted, put, queue_of, value_of

from edgeinfer.errors import StoreError
from edgeinfer.fallback.deferred import CLAIM_S, DeferredQueue, Waiting
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as made:
        agree(made)
        yield made


@pytest.mark.parametrize(
    ("later", "there"),
    [
        (0.0, False),
        (1.0, False),
        (60.0, False),
        (CLAIM_S, False),
        (CLAIM_S + 0.1, True),
        (HOUR, True),
        (DAY, True),
        (-1.0, False),  # clocks of two processes are read a moment apart
        (-CLAIM_S, False),
        (-CLAIM_S - 0.1, True),
    ],
)
def test_a_case_whose_process_ended_comes_back_after_a_while(home, later, there):
    queue = queue_of(home)
    put(queue, 1)
    assert value_of(queue.claim()) == 1
    home.clock.advance(later)
    with Home(home.folder, clock=home.clock) as other:
        assert claimed(queue_of(other)) == [1] * there
    assert (len(queue), counted(home)) == (1, {})


def test_a_case_that_came_back_is_again_for_one_alone(home):
    queue = queue_of(home)
    put(queue, 1)
    assert claimed(queue) == [1]
    home.clock.advance(HOUR)
    assert claimed(queue) == [1]


def test_what_is_said_of_a_case_that_left_meanwhile_brings_it_not_back(home):
    queue = queue_of(home)
    put(queue, 1)
    waiting = queue.claim()
    with home.transaction() as connection:
        connection.execute("DELETE FROM deferred")  # the user took the consent back
    queue.release(waiting)
    queue.drop(waiting, "deferred.answered")
    assert (queue.claim(), len(queue), counted(home)) == (None, 0, {})


def released(queue: DeferredQueue, waiting: Waiting) -> None:
    queue.release(waiting)


def dropped(queue: DeferredQueue, waiting: Waiting) -> None:
    queue.drop(waiting, "deferred.refused")


@pytest.mark.parametrize("later", [CLAIM_S + 1, HOUR, -CLAIM_S - 0.5])
@pytest.mark.parametrize("say", [released, dropped])
def test_what_is_said_of_a_case_that_another_took_meanwhile_does_nothing(home, later, say):
    queue = queue_of(home)
    put(queue, 1)
    mine = queue.claim()
    home.clock.advance(later)
    with Home(home.folder, clock=home.clock) as other:
        theirs = queue_of(other).claim()
        assert (theirs.id, theirs.claim) == (mine.id, mine.claim + later)
        say(queue, mine)
        assert (queue.claim(), queue_of(other).claim(), len(queue), counted(home)) == (None, None, 1, {})
        queue_of(other).drop(theirs, "deferred.answered")
    assert (len(queue), counted(home)) == (0, {"deferred.answered": 1})


@pytest.mark.parametrize("say", [released, dropped])
def test_what_is_said_twice_of_a_case_counts_once(home, say):
    queue = queue_of(home)
    put(queue, 1)
    first = queue.claim()
    say(queue, first)
    then = counted(home)
    home.clock.advance(1)
    again = queue.claim()
    say(queue, first)
    assert (queue.claim(), len(queue), counted(home)) == (None, 1 if again else 0, then)


@pytest.mark.parametrize("say", [released, dropped])
def test_what_is_said_of_a_case_that_another_process_took_meanwhile_does_nothing(home, say):
    text = """
import sys
from edgeinfer.fallback import QueueLimits
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.privacy import Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock
home = Home(sys.argv[1], clock=FakeClock(float(sys.argv[2])))
queue = DeferredQueue(home, QueueLimits(), "bundle", Sealer(bytes(range(32))))
waiting = queue.claim()
print(waiting.id, flush=True)
sys.stdin.readline()
queue.drop(waiting, "deferred.answered")
"""
    queue = queue_of(home)
    put(queue, 1)
    mine = queue.claim()
    home.clock.advance(HOUR)
    with subprocess.Popen(
        [sys.executable, "-c", text, str(home.folder), str(home.clock.utc())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline().strip() == mine.id
        say(queue, mine)
        assert (queue.claim(), len(queue), counted(home)) == (None, 1, {})
        other.communicate("go\n", timeout=30)
    assert (other.returncode, len(queue), counted(home)) == (0, 0, {"deferred.answered": 1})


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
        clock, quick = Overtaken(home.clock.utc()), []
        clock.meanwhile = lambda: quick.extend(claimed(queue_of(quicker)))
        with Home(home.folder, clock=clock) as slower:
            assert [*claimed(queue_of(slower)), *quick] == [1]


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
        agree(home)
        numbers = [queue_of(home).put(case(at), {"label": None}, "1") for at in range(60)]
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
