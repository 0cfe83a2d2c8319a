"""Items prepared while the one before is used."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.host import usable_cpus
from edgeinfer.inference.ahead import ahead
from edgeinfer.testing import FakeEngine

pytestmark = pytest.mark.timeout(60)
LIGHT, DARK = np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)


class Slow:
    """A clock by which each look takes a second."""

    def __init__(self):
        self.looks = itertools.count()

    def __call__(self):
        return float(next(self.looks))


@pytest.mark.parametrize("clock", [Slow(), lambda: 0.0])
def test_the_order_is_that_of_the_items(clock):
    assert list(ahead(lambda item: item * 2, range(50), clock)) == [item * 2 for item in range(50)]
    assert list(ahead(str, [], clock)) == []


def test_work_that_takes_long_is_done_on_other_threads_and_a_few_items_ahead():
    taken, threads = [], set()

    def items():
        for item in itertools.count():
            taken.append(item)
            yield item

    def work(item):
        threads.add(threading.current_thread().name)
        return item

    results = ahead(work, items(), Slow())
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(taken) <= 10 + 2 * usable_cpus()
    assert "edgeinfer-preparer" in threads
    results.close()


def test_work_that_takes_no_time_stays_on_the_callers_thread():
    threads = {each.name for each in ahead(lambda _: threading.current_thread(), range(20), lambda: 0.0)}
    assert threads == {threading.current_thread().name}


def test_an_error_is_raised_in_its_turn():
    results = ahead(lambda item: 10 // (5 - item), range(10), Slow())
    assert [next(results) for _ in range(5)] == [2, 2, 3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_many_predictions_are_those_of_single_calls(sample):
    model = ei.load(sample, engine=FakeEngine())
    found = [each.label for each in model.predict_many([LIGHT, DARK] * 40)]
    assert found == ["light", "dark"] * 40
    broken = model.predict_many([LIGHT, b"no picture", DARK])
    assert next(broken).label == "light"
    with pytest.raises(ei.DecodeError):
        next(broken)
