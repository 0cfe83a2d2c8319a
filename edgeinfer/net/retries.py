"""When to ask again: pure schedules, and a budget that keeps an outage from being amplified."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen

# Statuses after which the same request may succeed: RFC 9110 sections 15.5.9, 15.6.3 to 15.6.5, RFC 6585 section 4.
_LONGEST_S = 10**9
PASSING = frozenset({408, 429, 502, 503, 504})


@frozen
class RetryPolicy:
    """How often and how soon to ask again.

    Attributes:
        attempts: Requests for one call, the first among them.
        first_ms: The most that is waited before the second.
        most_ms: The most that is waited before any.
        ratio: Requests beyond the first that a call may cost on average.
        reserve: Such requests that are there from the start.

    Raises:
        InputError: A number is out of range.
    """

    attempts: int = 3
    first_ms: float = 100.0
    most_ms: float = 2000.0
    ratio: float = 0.1
    reserve: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{name} of the retry policy", found=value, expected="a number")
        checks = (
            ("attempts", 1 <= self.attempts <= 10, "1 to 10"),
            ("first_ms", 0 <= self.first_ms <= self.most_ms, "0 to most_ms"),
            ("most_ms", self.most_ms < math.inf, "a finite number"),
            ("ratio", 0 <= self.ratio <= 1, "0 to 1"),
            ("reserve", 0 <= self.reserve <= 100, "0 to 100"),
        )
        for name, good, expected in checks:
            if not good:
                raise InputError(f"{name} of the retry policy", found=getattr(self, name), expected=expected)


def backoff(policy: RetryPolicy, retries: int, draw: float) -> float:
    """Return the seconds to wait before asking again: exponential backoff with full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        policy: The bounds.
        retries: How often it was asked again already.
        draw: A number drawn uniformly from 0..1.
    """
    return draw * min(policy.most_ms, policy.first_ms * 2.0**retries) / 1e3


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks to wait (RFC 9110 section 10.2.3), or None.

    Args:
        headers: Of its answer, by name in lower case.
        now: The time, in seconds since 1970.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text.lstrip("0")[:10] or "0"), _LONGEST_S))
    try:
        date = parsedate_to_datetime(text)
        # One of the three forms names no zone; all mean UTC.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


class RetryBudget:
    """Tokens that calls earn and retries spend; threads may share it.

    A server that is down gets at most `1 + ratio` requests a call, however many attempts each might make. Source: the
    retry budgets of Finagle (Twitter), and the token bucket of AWS SDKs.

    Args:
        policy: Its `ratio` is what a call earns, its `reserve` what is there at first, and ten times that the most.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._ratio, self._tokens = policy.ratio, policy.reserve
        self._most = max(policy.reserve * 10, 1.0)
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Note a call."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take what a retry costs; False where there is not enough."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
