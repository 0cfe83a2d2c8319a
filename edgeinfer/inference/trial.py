"""Which of several is fastest: timed in turns, in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

_BLOCK_S = 0.001
_WARM_UP_RUNS = 3
_MOST_ROUNDS = 40
# After so many rounds those that are slower than the best by such a factor sit out, but for each eighth round:
# another process may have been in their way.
_HOPELESS = {1: 4.0, 3: 2.0, 6: 1.3, 12: 1.1}
_ALL = 8

Clock = Callable[[], float]


def fastest_of(
    runs: Sequence[Callable[[], object]], seconds: float, clock: Clock = time.perf_counter
) -> list[float | None]:
    """Time calls side by side and return what one of each takes.

    Blocks of about a millisecond in turns; each one's figure is its best block, since whatever else the machine
    does only adds. The hopeless drop out.

    Args:
        runs: What to time.
        seconds: Time for all of it; each is called at least once where that allows, and none is begun after it.
        clock: Seconds, never going back.

    Returns:
        Microseconds a call, in the order of `runs`; None where the time was up before.
    """
    best: list[float | None] = [None] * len(runs)
    alive = list(range(len(runs)))
    end = clock() + seconds
    for number in range(_MOST_ROUNDS):
        for at in alive if number % _ALL else range(len(runs)):
            if clock() >= end:
                return best
            if number == 0:
                _warm_up(runs[at], end, clock)
            taken = _block(runs[at], clock) * 1e6
            before = best[at]
            best[at] = taken if before is None else min(before, taken)
        factor = _HOPELESS.get(number)
        if factor is not None:
            known = [each for each in best if each is not None]
            alive = [at for at in alive if (best[at] or 0) <= min(known) * factor]
    return best


def _warm_up(run: Callable[[], object], end: float, clock: Clock) -> None:
    for _ in range(_WARM_UP_RUNS):
        run()
        if clock() >= end:
            return


def _block(run: Callable[[], object], clock: Clock) -> float:
    """Return the mean time of calls for about a millisecond, in seconds."""
    start = clock()
    count = 0
    while True:
        run()
        count += 1
        taken = clock() - start
        if taken >= _BLOCK_S:
            return taken / count
