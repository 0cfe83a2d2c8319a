"""The clock: the one place that reads the time of day, and that lets time pass."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What every room asks for the time; `edgeinfer.testing.FakeClock` is one that tests move."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...

    def utc(self) -> float:
        """Return seconds since 1970 as the system has it: it may be wrong, and may jump."""
        ...

    def pause(self, seconds: float) -> None:
        """Let time pass on this thread."""
        ...

    async def apause(self, seconds: float) -> None:
        """Let time pass in this task."""
        ...


class SystemClock:
    """This machine's clock."""

    def monotonic(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()

    def utc(self) -> float:
        """Return `time.time`."""
        return time.time()

    def pause(self, seconds: float) -> None:
        """Wait on this thread."""
        threading.Event().wait(seconds)

    async def apause(self, seconds: float) -> None:
        """Wait in this task."""
        import asyncio  # it takes as long to import as all of edgeinfer

        await asyncio.sleep(seconds)
