"""A run that ends behind some epochs, as a key press would end it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from converters.progress import Bar, Quiet


class Stopping(Quiet):
    """Raises KeyboardInterrupt behind a number of steps of the bars with one title; behind none for 0.

    Attributes:
        resumed_at: Steps that were done when such a bar last began, or None before.
    """

    def __init__(self, title: str, steps: int) -> None:
        self._title, self._left = title, steps
        self.resumed_at: int | None = None

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0) -> Iterator[Bar | Stopping]:
        with super().bar(title, total, done=done) as silent:
            if title == self._title:
                self.resumed_at = done
            yield self if title == self._title else silent

    def advance(self, done: int = 1, *, note: str = "") -> None:
        self._left -= done
        if not self._left:
            raise KeyboardInterrupt(note)
