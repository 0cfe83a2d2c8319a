"""Two ways to do the same, timed in turns: other work on the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Call = Callable[[], object]
Kind = Literal["us more", "us", "ms", "times", "MB more", "MB", "kB", "%", "s"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is compared, ours first.
        ours: Our figure, in words.
        other: The other way's, in words.
        figure: What is held against the budget: median of the paired differences or ratios.
        low: Its lower quartile.
        high: Its upper quartile.
        kind: What the figure is.
        budget: The most that is good, or the least for throughput.
        least: Whether the budget is a lower bound.
        note: What else is to be said.
    """

    what: str
    ours: str
    other: str
    figure: float
    low: float
    high: float
    kind: Kind
    budget: float | None = None
    least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.budget is None:
            return None
        return self.figure >= self.budget if self.least else self.figure <= self.budget


@dataclass(frozen=True)
class Skipped:
    """A row that cannot be measured here, and why."""

    what: str
    reason: str


def in_turns(first: Call, second: Call, blocks: int, calls: int) -> list[tuple[float, float]]:
    """Return the mean microseconds a call of both, by block."""
    for each in (first, second):
        block(each, max(1, calls // 4))
    return [(block(first, calls), block(second, calls)) for _ in range(blocks)]


def block(call: Call, calls: int) -> float:
    """Return the mean time of a call in microseconds."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def more(what: str, pairs: Sequence[tuple[float, float]], budget: float | None) -> Row:
    """Return a row of microseconds that ours takes beyond the other."""
    figure, low, high = spread([ours - other for ours, other in pairs])
    return Row(what, *_medians(pairs), figure, low, high, "us more", budget)


def ratio(what: str, pairs: Sequence[tuple[float, float]], budget: float | None, **options: object) -> Row:
    """Return a row of times that ours takes of the other's time."""
    figure, low, high = spread([ours / other for ours, other in pairs])
    return Row(what, *_medians(pairs), figure, low, high, "times", budget, **options)  # type: ignore[arg-type]


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[str, str]:
    ours, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return shown(ours), shown(other)


def shown(us: float) -> str:
    """Return a time for people."""
    return f"{us:.1f} us" if us < 1000 else f"{us / 1000:.2f} ms"
