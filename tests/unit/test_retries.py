"""When a server is asked again: schedules, `Retry-After`, and the budget that bounds an outage."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgeinfer as ei
from edgeinfer.net import RetryBudget, RetryPolicy, backoff, retry_after

# 1994-11-06 08:49:37 UTC, RFC 9110's own example.
EXAMPLE = 784_111_777


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def anywhere(request, monkeypatch):
    """A machine's time zone."""
    if not hasattr(time, "tzset"):
        pytest.skip("needs a system whose time zone a process can set")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("retries", "most_s"),
    [(0, 0.1), (1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 2.0), (6, 2.0), (9, 2.0)],
)
def test_a_pause_is_drawn_from_zero_to_a_bound_that_doubles(retries, most_s):
    policy = RetryPolicy(first_ms=100, most_ms=2000)
    assert backoff(policy, retries, 0.0) == 0
    assert backoff(policy, retries, 0.5) == pytest.approx(most_s / 2)
    assert backoff(policy, retries, 1.0) == pytest.approx(most_s)


def test_a_policy_without_pauses_asks_again_at_once():
    assert backoff(RetryPolicy(first_ms=0, most_ms=0), 3, 1.0) == 0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        (" 120 ", 120),
        ("3600", 3600),
        ("007", 7),
        ("0000000000120", 120),
        # Nothing that RFC 9110 knows.
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("12 s", None),
        ("\u0661\u0662", None),
        ("\u00b2", None),
        ("Wed, 21 Oct 2015", None),
        ("Wed, 32 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +9999999999", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_seconds_are_read_and_garbage_is_no_wish(said, seconds):
    assert retry_after({"retry-after": said}, float(EXAMPLE)) == seconds


def test_a_server_that_says_nothing_wishes_nothing():
    assert retry_after({}, 0.0) is None
    assert retry_after({"content-type": "text/html"}, 0.0) is None


@pytest.mark.parametrize("digits", [9, 10, 50, 400, 10_000])
def test_any_number_of_digits_is_a_long_finite_wait(digits):
    found = retry_after({"retry-after": "9" * digits}, 0.0)
    assert found is not None
    assert 31_536_000 < found < float("inf")


@pytest.mark.parametrize(
    "said",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
@pytest.mark.usefixtures("anywhere")
def test_each_form_of_date_in_http_is_in_utc_wherever_the_machine_stands(said):
    assert retry_after({"retry-after": said}, EXAMPLE - 90.0) == 90
    assert retry_after({"retry-after": said}, EXAMPLE + 90.0) == 0


@given(
    st.text(max_size=40)
    | st.text("0123456789:-+, GMTUaeiouSnMhdJFbrAplgOctNvD", max_size=40)
    | st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Sun", "", "x"]),
        st.integers(-1, 99999),
        st.sampled_from(["Nov", "Feb", "13"]),
        *[st.integers(-1, 99999)] * 4,
        st.sampled_from(["GMT", "+2400", "-9999", "EST", "", "-0000"]),
    )
)
def test_whatever_a_server_says_is_seconds_to_wait_or_nothing(said):
    found = retry_after({"retry-after": said}, float(EXAMPLE))
    assert found is None or 0 <= found < float("inf")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", 0),
        ("attempts", 11),
        ("attempts", -1),
        ("attempts", float("nan")),
        ("first_ms", -1),
        ("first_ms", 2001),
        ("first_ms", float("nan")),
        ("first_ms", float("inf")),
        ("most_ms", 99),
        ("most_ms", float("inf")),
        ("most_ms", float("nan")),
        ("ratio", -0.1),
        ("ratio", 1.1),
        ("ratio", float("nan")),
        ("reserve", -1),
        ("reserve", 101),
        ("reserve", float("nan")),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field, value):
    with pytest.raises(ei.InputError, match="of the retry policy"):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("field", ["attempts", "first_ms", "most_ms", "ratio", "reserve"])
def test_a_policy_of_text_is_refused_as_one_out_of_range_is(field):
    with pytest.raises(ei.InputError, match="of the retry policy"):
        RetryPolicy(**{field: "3"})


@pytest.mark.parametrize(
    "bounds",
    [
        {"attempts": 1},
        {"attempts": 10},
        {"first_ms": 0, "most_ms": 0},
        {"first_ms": 5, "most_ms": 5},
        {"ratio": 0, "reserve": 0},
        {"ratio": 1, "reserve": 100},
    ],
)
def test_the_bounds_themselves_are_taken(bounds):
    policy = RetryPolicy(**bounds)
    assert all(getattr(policy, name) == value for name, value in bounds.items())


@pytest.mark.parametrize("reserve", [0, 0.5, 1, 3])
def test_the_reserve_is_there_before_the_first_call_and_no_more(reserve):
    budget = RetryBudget(RetryPolicy(reserve=reserve))
    spent = 0
    while budget.spend():
        spent += 1
    assert spent == int(reserve)


def test_ten_calls_earn_a_retry():
    budget = RetryBudget(RetryPolicy(ratio=0.125, reserve=0))
    found = []
    for _ in range(24):
        budget.earn()
        found.append(budget.spend())
    assert [number for number, spent in enumerate(found, 1) if spent] == [8, 16, 24]


def test_a_good_year_saves_up_no_more_than_ten_times_the_reserve():
    budget = RetryBudget(RetryPolicy(ratio=1, reserve=2))
    for _ in range(10_000):
        budget.earn()
    assert [budget.spend() for _ in range(25)] == [True] * 20 + [False] * 5


def test_a_policy_without_a_reserve_can_save_up_one_retry():
    budget = RetryBudget(RetryPolicy(ratio=0.5, reserve=0))
    for _ in range(100):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@pytest.mark.parametrize("ratio", [0, 0.1, 0.3, 1])
@pytest.mark.parametrize("reserve", [0, 1, 7.5])
@pytest.mark.parametrize("attempts", [1, 3, 10])
def test_an_outage_of_any_length_gets_a_bounded_number_of_requests(ratio, reserve, attempts):
    policy = RetryPolicy(attempts=attempts, ratio=ratio, reserve=reserve)
    budget, requests = RetryBudget(policy), 0
    for calls in range(1, 1001):
        budget.earn()
        requests += 1
        for _ in range(attempts - 1):
            if not budget.spend():
                break
            requests += 1
        assert requests <= calls * (1 + ratio) + reserve + 1e-6


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1), st.floats(0, 100))
def test_retries_never_exceed_what_was_earned(events, ratio, reserve):
    budget = RetryBudget(RetryPolicy(ratio=ratio, reserve=reserve))
    earned = spent = 0
    for is_call in events:
        if is_call:
            budget.earn()
            earned += 1
        else:
            spent += budget.spend()
        assert spent <= earned * ratio + reserve + 1e-6
