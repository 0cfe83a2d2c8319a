"""When load is shed, by rows of delays: a pure decision."""

from __future__ import annotations

import pytest

import edgeinfer as ei
from edgeinfer.inference import Shedding
from edgeinfer.inference.shedding import Load, after_delay

POLICY = Shedding(max_queue_ms=10, after_ms=50, calm_ms=1000)
MS = 1_000_000


def levels(delays, highest=1):
    """The level after each `(time, delay)` in milliseconds."""
    load, found = Load(), []
    for at, delay in delays:
        load = after_delay(load, POLICY, at * MS, int(delay * MS), highest)
        found.append(load.level)
    return found


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        ([(0, 0), (1, 5), (2, 9)], [0, 0, 0]),
        ([(0, 11), (30, 11), (49, 11)], [0, 0, 0]),
        ([(0, 11), (30, 11), (50, 11)], [0, 0, 1]),
        # One call that hardly waited: the queue drains, and the time begins anew.
        ([(0, 50), (40, 3), (60, 50), (100, 50), (110, 50)], [0, 0, 0, 0, 1]),
        # Back after a second of at most half the limit, not before.
        ([(0, 11), (50, 11), (100, 1), (600, 1), (1099, 1), (1100, 1)], [0, 1, 1, 1, 1, 0]),
        # Between half and the whole limit: neither worse nor calm.
        ([(0, 11), (50, 11), (100, 1), (600, 7), (1100, 1), (2099, 1), (2100, 1)], [0, 1, 1, 1, 1, 1, 0]),
        # Nobody asked for a while: the next one finds everything as it was.
        ([(0, 11), (50, 11), (1050, 0)], [0, 1, 0]),
        ([(0, 11), (50, 11), (1050, 30)], [0, 1, 0]),
        # There is nothing smaller than the smallest.
        ([(0, 11), (50, 11), (150, 11), (300, 11)], [0, 1, 1, 1]),
    ],
)
def test_levels_follow_the_delays(delays, expected):
    assert levels(delays) == expected


def test_each_further_level_takes_as_long_as_the_first():
    delays = [(at, 20) for at in range(0, 200, 10)]
    found = levels(delays, highest=2)
    assert [found.index(level) * 10 for level in (1, 2)] == [50, 100]


@pytest.mark.parametrize("field", ["max_queue_ms", "after_ms", "calm_ms"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "5"])
def test_limits_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ei.InputError, match=f"{field} of shedding"):
        Shedding(**{field: value})
