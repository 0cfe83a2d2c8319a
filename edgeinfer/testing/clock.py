"""A clock that tests move."""

from __future__ import annotations

import threading


class FakeClock:
    """Implements the Clock protocol; time passes where something waits, and where a test says so.

    Args:
        utc: Seconds since 1970 at first.
    """

    def __init__(self, utc: float = 1_800_000_000.0) -> None:
        self._monotonic, self._utc = 1000.0, utc
        self._lock = threading.Lock()
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def utc(self) -> float:
        """Return seconds since 1970."""
        return self._utc

    def pause(self, seconds: float) -> None:
        """Let time pass at once, and remember it in `pauses`."""
        self.pauses.append(seconds)
        self.advance(seconds)

    async def apause(self, seconds: float) -> None:
        """Let time pass at once."""
        self.pause(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._monotonic += seconds
            self._utc += seconds

    def set_utc(self, utc: float) -> None:
        """Set the time of day, as a user may; the other clock goes on."""
        self._utc = utc
