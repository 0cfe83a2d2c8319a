"""Calls before the budget of threads: order, batches, deadlines, those who leave."""

from __future__ import annotations

import dis
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeinfer.errors import DeadlineError, EngineRunError, OverloadError
from edgeinfer.host import allowed_processors
from edgeinfer.inference.lane import Lane
from edgeinfer.inference.scheduler import Scheduler

pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 20.0


class Held:
    """A run that waits until it is let go, and remembers what it ran."""

    def __init__(self, *, spoiled: float | None = None) -> None:
        self.batches: list[list[float]] = []
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()
        self._spoiled = spoiled

    def __call__(self, inputs, count):
        values = inputs["x"][:, 0].tolist()
        assert len(values) == count
        with self._lock:
            self.batches.append(values)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        self.started.release()
        assert self.go.wait(PATIENCE_S)
        with self._lock:
            self.busy -= 1
        if self._spoiled in values:
            raise EngineRunError(f"cannot run {self._spoiled}")
        return {"y": inputs["x"] * 2}


def item(value: float) -> dict[str, np.ndarray]:
    return {"x": np.array([[value]], np.float32)}


def value_of(outputs) -> float:
    return float(outputs["y"][0, 0])


class Line:
    """Tickets handed in from one thread, in a known order."""

    def __init__(self, scheduler: Scheduler, lane: Lane) -> None:
        self.scheduler, self.lane = scheduler, lane
        self.done = threading.Semaphore(0)
        self.tickets = []

    def add(self, value: float):
        self.tickets.append(self.scheduler.submit(self.lane, item(value), 1, lambda _: self.done.release()))
        return self.tickets[-1]

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.done.acquire(timeout=PATIENCE_S)


def test_a_lone_call_runs_on_the_thread_of_its_caller():
    seen = []

    def run(inputs, count):
        seen.append((threading.current_thread(), count))
        return {"y": inputs["x"] * 2}

    assert value_of(Scheduler(1).caller(Lane(run))(item(3), 1)) == 6
    assert seen == [(threading.current_thread(), 1)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_threads_are_busy_than_the_budget_has(threads):
    held = Held()
    held.go.set()
    scheduler, lanes = Scheduler(threads), [Lane(held), Lane(held)]

    def call(at: int) -> float:
        return value_of(scheduler.caller(lanes[at % 2])(item(at), 1))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(200))) == [2 * at for at in range(200)]
    assert held.most_busy <= threads


def test_a_run_that_keeps_two_threads_busy_waits_for_two_and_for_all_where_there_are_fewer():
    one, two = Held(), Held()
    scheduler = Scheduler(2)
    small, large = Line(scheduler, Lane(one)), Line(scheduler, Lane(two, threads=2))
    small.add(1)
    assert one.started.acquire(timeout=PATIENCE_S)
    large.add(2)
    behind = small.add(3)
    assert two.batches == []
    one.go.set()
    assert two.started.acquire(timeout=PATIENCE_S)
    assert one.batches == [[1]], "it came later, and must not starve the one before"
    two.go.set()
    small.wait(2)
    large.wait(1)
    assert value_of(behind.answer()) == 6
    assert value_of(Scheduler(1).caller(Lane(two, threads=8))(item(4), 1)) == 8


def test_calls_start_in_the_order_in_which_they_came():
    held = Held()
    line = Line(Scheduler(1), Lane(held))
    for value in range(6):
        line.add(value)
    held.go.set()
    line.wait(6)
    assert held.batches == [[value] for value in range(6)]
    assert [value_of(each.answer()) for each in line.tickets] == [0, 2, 4, 6, 8, 10]


def test_those_that_wait_for_one_lane_run_together_up_to_the_largest_batch():
    held = Held()
    line = Line(Scheduler(1), Lane(held, max_batch=4))
    for value in range(7):
        line.add(value)
    held.go.set()
    line.wait(7)
    assert held.batches == [[0], [1, 2, 3, 4], [5, 6]]
    answers = [each.answer() for each in line.tickets]
    assert [value_of(each) for each in answers] == [2 * value for value in range(7)]
    assert all(each["y"].base is None for each in answers), "one kept answer must not keep the whole batch"


def test_a_batch_never_mixes_lanes_nor_outgrows_its_limit_by_a_call_of_several_items():
    held, other = Held(), Held()
    scheduler = Scheduler(1)
    lane = Lane(held, max_batch=4)
    line, aside = Line(scheduler, lane), Line(scheduler, Lane(other, max_batch=4))
    line.add(0)
    line.add(1)
    aside.add(7)
    three = {"x": np.array([[2], [3], [4]], np.float32)}
    line.tickets.append(scheduler.submit(lane, three, 3, lambda _: line.done.release()))
    line.add(5)
    held.go.set()
    other.go.set()
    line.wait(4)
    aside.wait(1)
    assert held.batches == [[0], [1, 2, 3, 4], [5]]
    assert other.batches == [[7]]
    assert line.tickets[2].answer()["y"][:, 0].tolist() == [4, 6, 8]


def test_one_that_fails_does_not_spoil_the_answers_of_its_batch():
    held = Held(spoiled=2)
    line = Line(Scheduler(1), Lane(held, max_batch=8))
    for value in range(4):
        line.add(value)
    held.go.set()
    line.wait(4)
    good = [each for at, each in enumerate(line.tickets) if at != 2]
    assert [value_of(each.answer()) for each in good] == [0, 2, 6]
    with pytest.raises(EngineRunError, match="cannot run 2"):
        line.tickets[2].answer()


def test_a_deadline_that_passes_in_line_takes_the_call_out_of_it():
    held = Held()
    scheduler, lane = Scheduler(1), Lane(held, name="digits")
    line = Line(scheduler, lane)
    line.add(1)
    with pytest.raises(DeadlineError, match=r"digits did not answer in time: expected .* ms, found .* ms"):
        scheduler.call_by(lane, item(2), 1, time.perf_counter_ns() + 5_000_000)
    assert lane.in_line == 0
    held.go.set()
    line.wait(1)
    assert value_of(scheduler.caller(lane)(item(3), 1)) == 6
    assert held.batches == [[1], [3]]


def test_a_deadline_that_passes_during_the_run_leaves_the_result_behind():
    held = Held()
    scheduler, lane = Scheduler(1), Lane(held)
    with pytest.raises(DeadlineError):
        scheduler.call_by(lane, item(1), 1, time.perf_counter_ns() + 5_000_000)
    held.go.set()
    assert value_of(scheduler.caller(lane)(item(2), 1)) == 4
    assert value_of(scheduler.call_by(lane, item(3), 1, time.perf_counter_ns() + 10**10)) == 6


def test_what_a_run_raises_reaches_the_caller_who_waits_for_it_elsewhere():
    held = Held(spoiled=1)
    held.go.set()
    with pytest.raises(EngineRunError, match="cannot run 1"):
        Scheduler(1).call_by(Lane(held), item(1), 1, time.perf_counter_ns() + 10**10)


def test_the_line_is_bounded():
    held = Held()
    line = Line(Scheduler(1), Lane(held, max_waiting=2, name="digits"))
    for value in range(3):
        line.add(value)
    with pytest.raises(
        OverloadError, match="digits is overloaded: expected fewer than 2, found 2 calls in line"
    ):
        line.add(3)
    line.scheduler.give_up(line.tickets[1])
    line.add(4)
    held.go.set()
    line.wait(3)
    assert held.batches == [[0], [2], [4]]


def test_those_that_ride_with_an_interrupted_leader_get_their_answers():
    """Ctrl-C reaches the thread that runs the batch of others."""
    held = Held()
    interrupted = threading.Event()

    def run(inputs, count):
        if count > 1 and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        return held(inputs, count)

    scheduler, lane = Scheduler(1), Lane(run, max_batch=8)
    line = Line(scheduler, lane)
    line.add(1)
    assert held.started.acquire(timeout=PATIENCE_S)
    outcome = []

    def call() -> None:
        try:
            scheduler.caller(lane)(item(2), 1)
        except KeyboardInterrupt as error:
            outcome.append(error)

    leader = threading.Thread(target=call)
    leader.start()
    while lane.in_line == 0:
        assert leader.is_alive()
    line.add(3)
    line.add(4)
    held.go.set()
    line.wait(3)
    leader.join(PATIENCE_S)
    assert [type(each) for each in outcome] == [KeyboardInterrupt]
    assert [value_of(each.answer()) for each in line.tickets] == [2, 6, 8]
    assert value_of(scheduler.caller(lane)(item(5), 1)) == 10


def test_a_batch_waits_for_company_when_the_one_before_had_some_and_lone_calls_do_not():
    held = Held()
    held.go.set()
    hour_ns = 3600 * 10**9
    scheduler, lane = Scheduler(1), Lane(held, max_batch=2, max_delay_ns=hour_ns)
    assert value_of(scheduler.caller(lane)(item(0), 1)) == 0
    assert value_of(scheduler.caller(lane)(item(1), 1)) == 2
    held.go.clear()
    line = Line(scheduler, lane)
    for value in (2, 3, 4):
        line.add(value)
    held.go.set()
    line.wait(3)
    assert held.batches[2:] == [[2], [3, 4]]
    line.add(5)
    assert line.lane.in_line == 0
    assert len(held.batches) == 4, "it waits for another, as the batch before had two"
    line.add(6)
    line.wait(2)
    assert held.batches[4:] == [[5, 6]]
    assert [value_of(each.answer()) for each in line.tickets] == [4, 6, 8, 10, 12]


def test_a_larger_budget_lets_those_in_line_start():
    held = Held()
    scheduler = Scheduler(1)
    line = Line(scheduler, Lane(held))
    for value in range(3):
        line.add(value)
    scheduler.resize(3)
    for _ in range(3):
        assert held.started.acquire(timeout=PATIENCE_S)
    held.go.set()
    line.wait(3)
    scheduler.resize(1)
    assert scheduler.threads == 1
    assert value_of(scheduler.caller(line.lane)(item(4), 1)) == 8


def test_delays_in_line_are_told_and_runs_are_counted():
    held, told = Held(), []
    lane = Lane(held)
    lane.on_delay = lambda _, delay_ns: told.append(delay_ns)
    line = Line(Scheduler(1), lane)
    line.add(1)
    line.add(2)
    held.go.set()
    line.wait(2)
    assert len(told) == 2
    assert told[1] > 0
    assert value_of(line.scheduler.caller(lane)(item(3), 1)) == 6
    assert told[2] == 0, "it ran at once"
    assert lane.durations.count == 3


def test_no_other_thread_can_come_between_the_look_at_free_threads_and_their_taking():
    (call,) = [each for each in Scheduler.caller.__code__.co_consts if getattr(each, "co_name", "") == "call"]
    # Where CPython looks for other threads and signals: calls, jumps back, entries of functions and generators.
    breaks = ("CALL", "JUMP_BACK", "RESUME", "YIELD", "SEND")
    code = list(dis.get_instructions(call))
    for looked in ("_free", "threads"):
        first = next(
            at for at, each in enumerate(code) if (each.opname, each.argval) == ("LOAD_ATTR", looked)
        )
        stores = [at for at in range(first, len(code)) if code[at].opname.startswith("STORE_")]
        assert sorted(code[at].argval for at in stores[:2]) == sorted([looked, "taken"])
        assert not [each.opname for each in code[first : stores[1]] if each.opname.startswith(breaks)]


@pytest.mark.skipif(
    not hasattr(__import__("os"), "sched_setaffinity"), reason="only Linux lets threads be placed"
)
def test_a_caller_with_a_deadline_may_run_anywhere_again_afterwards():
    scheduler, lane = Scheduler(2), Lane(lambda inputs, _: {"y": inputs["x"]})
    before = allowed_processors()
    for _ in range(3):  # the first run tells that the next ones are short
        scheduler.call_by(lane, item(1), 1, time.perf_counter_ns() + 10**10)
    assert allowed_processors() == before
