"""Callers that come straight back go on for a slice: nobody starves, nothing is lost, the budget holds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeinfer.errors import EngineRunError
from edgeinfer.inference.lane import Lane
from edgeinfer.inference.scheduler import Scheduler

pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 20.0


def item(value: float) -> dict[str, np.ndarray]:
    return {"x": np.array([[value]], np.float32)}


def test_callers_that_come_straight_back_all_get_on_and_nothing_is_lost_when_they_leave():
    scheduler = Scheduler(2)
    call = scheduler.caller(
        Lane(lambda inputs, _: {"y": np.linalg.inv(np.eye(40)) @ inputs["x"].repeat(40, 0)})
    )

    def work(calls: int) -> int:
        for _ in range(calls):
            call(item(1), 1)
        return calls

    with ThreadPoolExecutor(24) as pool:  # they end at different times, each with threads kept for it perhaps
        done = [pool.submit(work, calls) for calls in range(1, 240, 10)]
        assert sum(each.result(PATIENCE_S) for each in done) == sum(range(1, 240, 10))
    ends = time.monotonic() + PATIENCE_S
    while scheduler._free < 2:  # the guard takes back what those that left had kept
        assert time.monotonic() < ends
    assert not scheduler._line
    assert call(item(3), 1)["y"][0, 0] == 3


def test_the_budget_holds_while_slices_are_taken():
    busy, most, lock = [0], [0], threading.Lock()
    matrix = np.ones((60, 60))

    def run(inputs, _count):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        _ = matrix @ matrix
        with lock:
            busy[0] -= 1
        return {"y": inputs["x"]}

    call = Scheduler(2).caller(Lane(run))
    with ThreadPoolExecutor(12) as pool:
        done = [pool.submit(lambda: [call(item(1), 1) for _ in range(200)]) for _ in range(12)]
        assert all(len(each.result(PATIENCE_S)) == 200 for each in done)
    assert most[0] == 2


def test_a_run_that_fails_gives_its_threads_back_in_a_slice_too():
    count = [0]

    def run(inputs, _count):
        count[0] += 1
        if count[0] % 3 == 0:
            raise EngineRunError("every third")
        return {"y": inputs["x"]}

    lane = Lane(run)
    scheduler = Scheduler(1)
    call = scheduler.caller(lane)

    def work() -> int:
        failed = 0
        for _ in range(100):
            try:
                call(item(1), 1)
            except EngineRunError:
                failed += 1
        return failed

    with ThreadPoolExecutor(6) as pool:
        failed = sum(each.result(PATIENCE_S) for each in [pool.submit(work) for _ in range(6)])
    assert failed == lane.errors == 200
