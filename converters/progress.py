"""What a person sees while a conversion runs: bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar(Protocol):
    """One piece of long work."""

    def advance(self, done: int = 1, *, note: str = "") -> None:
        """Say that `done` more parts are finished."""


class Reporter(Protocol):
    """Where steps say what they do."""

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0) -> Iterator[Bar]:
        """Show a bar of `total` parts while the block runs."""

    def note(self, text: str) -> None:
        """Show a line."""


class _Silent:
    def advance(self, done: int = 1, *, note: str = "") -> None:
        pass


class Quiet:
    """Shows nothing."""

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0) -> Iterator[Bar]:  # noqa: ARG002
        """Show nothing."""
        yield _Silent()

    def note(self, text: str) -> None:
        """Show nothing."""


class _RichBar:
    def __init__(self, progress: Progress, title: str, total: int, done: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, completed=done, note="")

    def advance(self, done: int = 1, *, note: str = "") -> None:
        self._progress.update(self._task, advance=done, note=note)


class Terminal:
    """Bars and lines on a terminal, while native code's own output is sent elsewhere."""

    def __init__(self) -> None:
        # A descriptor of its own: steps may redirect the standard ones around noisy exporters.
        self._stream: TextIO = os.fdopen(os.dup(2), "w")
        self.console = Console(file=self._stream, force_terminal=True)
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0) -> Iterator[Bar]:
        """Show a bar while the block runs; it stays, full, when it ends."""
        yield _RichBar(self._progress, title, total, done)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, style="dim", highlight=False, markup=False)

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._stream.close()


@contextmanager
def reporter(*, terminal: bool) -> Iterator[Reporter]:
    """Yield a reporter that shows bars on a terminal and nothing elsewhere."""
    if terminal:
        with Terminal() as shown:
            yield shown
    else:
        yield Quiet()
