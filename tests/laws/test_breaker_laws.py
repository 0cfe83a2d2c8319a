"""What holds for a circuit after any history."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.net import Breaker, Circuit, CircuitLimits
from edgeinfer.net.breaker import admits, after, held
from edgeinfer.testing import FakeClock

SECONDS = st.floats(0, 1e6)
LIMITS = st.builds(
    lambda failures, open_s, times: CircuitLimits(failures, open_s, open_s * times),
    st.integers(1, 6),
    st.floats(0.01, 60),
    st.floats(1, 100),
)
EVENTS = st.lists(
    st.one_of(
        st.just(("admit", None)),
        st.just(("abandon", None)),
        st.just(("report", None)),
        st.just(("report", "down")),
        st.tuples(st.just("hold"), SECONDS),
        # Around the times that matter, more often than chance has it.
        st.tuples(st.just("rest"), st.sampled_from([0.5, 0.999, 1.0, 2.0])),
        st.tuples(st.just("wait"), SECONDS),
    ),
    max_size=60,
)
CIRCUITS = st.builds(
    Circuit,
    st.sampled_from(["closed", "open", "half_open"]),
    st.integers(0, 100),
    st.integers(0, 2000),
    SECONDS,
    st.none() | SECONDS,
    st.text(max_size=5),
)


def play(breaker, clock, limits, event, value):
    """Let an event happen; whether a call was let through."""
    if event == "admit":
        return breaker.admit()
    if event == "rest":
        clock.advance(limits.open_s * value)
    elif event == "wait":
        clock.advance(value)
    elif event == "abandon":
        breaker.abandon()
    else:
        getattr(breaker, event)(*([value, "asked"] if event == "hold" else [value]))
    return False


@given(LIMITS, EVENTS)
def test_two_probes_that_nobody_heard_of_are_open_s_apart(limits, events):
    clock = FakeClock()
    breaker, probed = Breaker(limits, clock), None
    for event, value in events:
        closed = breaker.circuit.state == "closed"
        admitted = play(breaker, clock, limits, event, value)
        if admitted and not closed:
            assert probed is None or clock.monotonic() - probed >= limits.open_s
            probed = clock.monotonic()
        elif event in ("report", "abandon", "hold"):
            probed = None


@given(LIMITS, EVENTS)
def test_a_server_is_never_left_alone_for_longer_than_the_most(limits, events):
    clock = FakeClock()
    breaker = Breaker(limits, clock)
    for event, value in events:
        play(breaker, clock, limits, event, value)
        if breaker.circuit.state == "open":
            assert breaker.circuit.until - clock.monotonic() <= limits.most_open_s + 1e-6
    clock.advance(limits.most_open_s + 1e-3)
    assert breaker.admit(), "after any history and the longest rest somebody is let through"


@given(LIMITS, EVENTS)
def test_the_success_of_a_call_that_was_let_through_closes_it(limits, events):
    clock = FakeClock()
    breaker = Breaker(limits, clock)
    for event, value in events:
        play(breaker, clock, limits, event, value)
    if breaker.admit():
        breaker.report(None)
        assert breaker.circuit == Circuit()
        assert not breaker.open


@given(LIMITS, st.lists(st.none() | st.just("down"), max_size=30))
def test_it_stays_closed_until_enough_failures_in_a_row_and_opens_then(limits, reports):
    breaker, in_a_row = Breaker(limits, FakeClock()), 0
    for failure in reports:
        breaker.report(failure)
        in_a_row = 0 if failure is None else in_a_row + 1
        assert breaker.circuit.failures == in_a_row
        assert (breaker.circuit.state == "closed") == (in_a_row < limits.failures)
        if in_a_row == limits.failures:
            break


@given(LIMITS, EVENTS)
def test_what_open_says_is_what_the_next_call_meets(limits, events):
    clock = FakeClock()
    breaker = Breaker(limits, clock)
    for event, value in events:
        said = breaker.open
        admitted = play(breaker, clock, limits, event, value)
        if event == "admit":
            assert admitted == (not said)


@given(CIRCUITS, LIMITS, SECONDS, st.none() | st.text(max_size=5))
def test_the_pure_steps_keep_their_promises_for_any_circuit(circuit, limits, now, failure):
    admitted = admits(circuit, limits, now)
    if admitted is not None and circuit.state != "closed":
        assert admitted == replace(circuit, state="half_open", probing=now)
        assert admits(admitted, limits, now) is None
    reported = after(circuit, limits, now, failure)
    if failure is None:
        assert reported == (circuit if circuit.state == "open" else Circuit())
    else:
        assert reported != Circuit()
    if failure is not None and circuit.state != "open" and reported.state == "open":
        assert now < reported.until <= now + limits.most_open_s
        assert (reported.opened, reported.probing) == (circuit.opened + 1, None)
    wished = held(circuit, now + limits.open_s, "asked")
    assert wished.until >= now + limits.open_s
    assert admits(wished, limits, now) is None
    assert (wished.state, wished.failures, wished.probing) == ("open", circuit.failures, None)
