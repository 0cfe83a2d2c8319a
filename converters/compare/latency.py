"""Time of one run of two variants side by side: in turns, each in a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.host import processor
from edgeinfer.inference import measure


@dataclass(frozen=True)
class Timed:
    """What is measured: one variant of one bundle on one engine."""

    path: Path
    variant: str
    engine: str


@dataclass(frozen=True)
class SideBySide:
    """Times of one run, batch 1, one thread.

    A shared machine is now faster, now slower; a ratio within one round is of its own time.

    Attributes:
        old_us: Median of the rounds' medians, in microseconds.
        new_us: The same of the new one.
        ratio: Median over the rounds of new over old.
        least_ratio: Smallest of the rounds' ratios.
        largest_ratio: Largest.
        rounds: Rounds, each of which measured both.
        machine: Where.
    """

    old_us: float
    new_us: float
    ratio: float
    least_ratio: float
    largest_ratio: float
    rounds: int
    machine: str


def side_by_side(
    old: Timed, new: Timed, rounds: int, seconds: float, advance: Callable[[], None]
) -> SideBySide:
    """Measure both in turns; who comes first alternates.

    Args:
        old: One.
        new: The other.
        rounds: How often, at least once.
        seconds: How long each is timed in a round.
        advance: Called after each of the `2 * rounds` measurements.

    Raises:
        EngineRunError: A child process failed.
    """
    before: list[float] = []
    after: list[float] = []
    for at in range(rounds):
        pair = [(old, before), (new, after)]
        for each, times in pair if at % 2 == 0 else reversed(pair):
            times.append(measure(each.path, each.variant, each.engine, seconds=seconds).p50_us)
            advance()
    ratios = [two / one for one, two in zip(before, after, strict=True)]
    return SideBySide(
        statistics.median(before),
        statistics.median(after),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        rounds,
        processor(),
    )
