"""The circuit breaker: its rows, one by one, and its state among threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import edgeinfer as ei
from edgeinfer.net import Breaker, Circuit, CircuitLimits
from edgeinfer.net.breaker import admits, after, held
from edgeinfer.testing import FakeClock

LIMITS = CircuitLimits(failures=3, open_s=5, most_open_s=60)


def opened(clock, limits=LIMITS):
    """A breaker that has just been opened."""
    breaker = Breaker(limits, clock)
    for _ in range(limits.failures):
        assert breaker.admit()
        breaker.report("down")
    return breaker


@pytest.mark.parametrize(
    ("circuit", "now", "expected"),
    [
        (Circuit(), 0.0, Circuit()),
        (Circuit("closed", 2), 7.0, Circuit("closed", 2)),
        (Circuit("open", 3, 1, 10.0), 9.9, None),
        (Circuit("open", 3, 1, 10.0, None, "down"), 10.0, Circuit("half_open", 3, 1, 10.0, 10.0, "down")),
        (Circuit("open", 3, 1, 10.0), 1e9, Circuit("half_open", 3, 1, 10.0, 1e9)),
        # One probe at a time; one that never reports gives way after open_s.
        (Circuit("half_open", 3, 1, 10.0, 11.0), 11.0, None),
        (Circuit("half_open", 3, 1, 10.0, 11.0), 15.9, None),
        (Circuit("half_open", 3, 1, 10.0, 11.0), 16.0, Circuit("half_open", 3, 1, 10.0, 16.0)),
        (Circuit("half_open", 3, 1, 10.0, None), 11.0, Circuit("half_open", 3, 1, 10.0, 11.0)),
    ],
)
def test_who_is_let_through(circuit, now, expected):
    assert admits(circuit, LIMITS, now) == expected


@pytest.mark.parametrize(
    ("circuit", "failure", "expected"),
    [
        (Circuit(), None, Circuit()),
        (Circuit("closed", 2), None, Circuit()),
        (Circuit("half_open", 9, 4, 10.0, 11.0, "down"), None, Circuit()),
        # One that was under way when it was opened says nothing of now.
        (Circuit("open", 3, 1, 200.0, None, "down"), None, Circuit("open", 3, 1, 200.0, None, "down")),
        (Circuit(), "down", Circuit("closed", 1)),
        (Circuit("closed", 1), "down", Circuit("closed", 2)),
        (Circuit("closed", 2), "down", Circuit("open", 3, 1, 105.0, None, "down")),
        # Each failed probe doubles the rest, up to the most.
        (Circuit("half_open", 3, 1, 99.0, 100.0), "x", Circuit("open", 4, 2, 110.0, None, "x")),
        (Circuit("half_open", 4, 2, 99.0, 100.0), "x", Circuit("open", 5, 3, 120.0, None, "x")),
        (Circuit("half_open", 5, 3, 99.0, 100.0), "x", Circuit("open", 6, 4, 140.0, None, "x")),
        (Circuit("half_open", 6, 4, 99.0, 100.0), "x", Circuit("open", 7, 5, 160.0, None, "x")),
        (Circuit("half_open", 6, 9999, 99.0, 100.0), "x", Circuit("open", 7, 10000, 160.0, None, "x")),
        # One that was under way when it was opened does not keep it open for longer.
        (Circuit("open", 3, 1, 104.0, None, "a"), "b", Circuit("open", 4, 1, 104.0, None, "a")),
    ],
)
def test_what_an_end_of_a_call_changes(circuit, failure, expected):
    assert after(circuit, LIMITS, 100.0, failure) == expected


@pytest.mark.parametrize(
    ("circuit", "expected"),
    [
        (Circuit(), Circuit("open", 0, 1, 50.0, None, "asked")),
        (Circuit("closed", 2), Circuit("open", 2, 1, 50.0, None, "asked")),
        (Circuit("half_open", 4, 3, 10.0, 11.0, "down"), Circuit("open", 4, 3, 50.0, None, "asked")),
        (Circuit("half_open", 4, 3, 90.0, 91.0, "down"), Circuit("open", 4, 3, 50.0, None, "asked")),
        (Circuit("open", 4, 3, 40.0, None, "down"), Circuit("open", 4, 3, 50.0, None, "asked")),
        # A shorter wish does not shorten a longer rest.
        (Circuit("open", 4, 3, 70.0, None, "down"), Circuit("open", 4, 3, 70.0, None, "asked")),
    ],
)
def test_what_a_server_s_wish_changes(circuit, expected):
    assert held(circuit, 50.0, "asked") == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failures", 0),
        ("failures", -1),
        ("failures", float("nan")),
        ("open_s", 0),
        ("open_s", -1),
        ("open_s", 301),
        ("open_s", float("nan")),
        ("most_open_s", 4),
        ("most_open_s", float("inf")),
        ("most_open_s", float("nan")),
        ("failures", "3"),
        ("open_s", "3"),
    ],
)
def test_limits_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ei.InputError, match="of the circuit"):
        CircuitLimits(**{field: value})


def test_failures_in_a_row_open_it_and_time_half_opens_it():
    clock = FakeClock()
    breaker = Breaker(LIMITS, clock)
    assert breaker.circuit.state == "closed"
    for expected in ("closed", "closed", "open"):
        assert breaker.admit()
        breaker.report("down")
        assert breaker.circuit.state == expected
    assert (breaker.open, breaker.admit(), breaker.circuit.reason) == (True, False, "down")
    clock.advance(4.99)
    assert (breaker.open, breaker.admit()) == (True, False)
    clock.advance(0.01)
    assert (breaker.open, breaker.circuit.state) == (False, "half_open")


def test_a_success_between_failures_begins_the_count_anew():
    breaker = Breaker(LIMITS, FakeClock())
    for failure in ("a", "b", None, "c", "d"):
        breaker.report(failure)
    assert (breaker.circuit.state, breaker.circuit.failures) == ("closed", 2)


def test_asking_whether_it_is_open_takes_no_probe():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    for _ in range(3):
        assert not breaker.open
        assert breaker.circuit.state == "half_open"
    assert [breaker.admit() for _ in range(3)] == [True, False, False]
    assert breaker.open


def test_of_many_threads_one_probes():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    barrier = threading.Barrier(16)

    def ask(_):
        barrier.wait()
        return breaker.admit()

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 1
        clock.advance(5)
        assert sum(pool.map(ask, range(16))) == 1


def test_failed_probes_double_the_rest_up_to_the_most():
    clock = FakeClock()
    breaker = opened(clock)
    rests = []
    for _ in range(6):
        began = clock.monotonic()
        while not breaker.admit():
            clock.advance(1)
        rests.append(clock.monotonic() - began)
        breaker.report("still down")
    assert rests == [5, 10, 20, 40, 60, 60]


def test_a_success_of_the_probe_closes_it_and_forgets_everything():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit()
    breaker.report("again")
    clock.advance(10)
    assert breaker.admit()
    breaker.report(None)
    assert breaker.circuit == Circuit()
    for _ in range(LIMITS.failures):
        breaker.report("down")
    clock.advance(5)
    assert breaker.admit(), "the rest is the first one again"


def test_a_probe_that_never_reports_gives_way():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit()
    clock.advance(4.9)
    assert not breaker.admit()
    clock.advance(0.1)
    assert breaker.admit()
    assert not breaker.admit()


def test_an_abandoned_probe_gives_way_at_once():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit()
    breaker.abandon()
    assert breaker.circuit.state == "half_open"
    assert [breaker.admit(), breaker.admit()] == [True, False]


def test_abandoning_elsewhere_changes_nothing():
    clock = FakeClock()
    breaker = Breaker(LIMITS, clock)
    breaker.report("down")
    breaker.abandon()
    assert breaker.circuit == Circuit("closed", 1)
    breaker.report("down")
    breaker.report("down")
    before = breaker.circuit
    breaker.abandon()
    assert (breaker.circuit, breaker.admit()) == (before, False)


@pytest.mark.parametrize(("seconds", "rest"), [(30, 30), (60, 60), (3600, 60), (1e12, 60)])
def test_a_hold_lasts_as_long_as_asked_for_up_to_the_most(seconds, rest):
    clock = FakeClock()
    breaker = Breaker(LIMITS, clock)
    breaker.hold(seconds, "busy")
    assert (breaker.circuit.state, breaker.circuit.reason) == ("open", "busy")
    clock.advance(rest - 0.5)
    assert not breaker.admit()
    clock.advance(0.5)
    assert [breaker.admit(), breaker.admit()] == [True, False]


def test_a_failure_after_a_hold_rests_longer_than_a_first_one():
    clock = FakeClock()
    breaker = Breaker(LIMITS, clock)
    breaker.hold(1, "busy")
    clock.advance(1)
    assert breaker.admit()
    breaker.report("down")
    clock.advance(9.9)
    assert not breaker.admit()
    clock.advance(0.1)
    assert breaker.admit()
