"""Doing something again and again in the background, at times that a fleet does not share."""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

draw = random.random
_FIRST_S = 60.0


def pause_s(interval_s: float, drawn: float, *, first: bool = False) -> float:
    """Return the seconds until the next time.

    Devices that were switched on together must not ask together: the interval is spread from half to one and a half of
    it, and the first time over a minute, or a tenth of the interval where that is less.

    Args:
        interval_s: Seconds from one time to the next on average.
        drawn: A number drawn uniformly from 0..1.
        first: Whether nothing was done yet.
    """
    if first:
        return drawn * min(_FIRST_S, interval_s / 10)
    return interval_s * (0.5 + drawn)


class Polling:
    """Calls a method of an object from time to time, for as long as somebody else holds the object.

    Args:
        method: A bound method; it raises nothing.
        interval_s: Seconds from one time to the next on average.
    """

    def __init__(self, method: Callable[[], Any], interval_s: float) -> None:
        self._ended = threading.Event()
        # The thread does not keep the object alive: an app that lets go of it lets go of all.
        bound = weakref.WeakMethod(method, lambda _: self._ended.set())
        threading.Thread(
            target=_run, args=(bound, interval_s, self._ended), name="edgeinfer-updates", daemon=True
        ).start()

    def end(self) -> None:
        """Do it no more; what goes on ends by itself."""
        self._ended.set()


def _run(bound: weakref.WeakMethod[Callable[[], Any]], interval_s: float, ended: threading.Event) -> None:
    wait_s = pause_s(interval_s, draw(), first=True)
    while not ended.wait(wait_s):
        method = bound()
        if method is None:
            return
        method()
        del method
        wait_s = pause_s(interval_s, draw())
