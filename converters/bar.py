"""A progress bar for commands that do without the converter's packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def bar(title: str, length: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal while the block runs; yield what moves it on by one.

    It writes to a descriptor of its own: standard error is sent elsewhere while engines run.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if not terminal:
        yield lambda: None
        return
    with (
        os.fdopen(os.dup(2), "w") as stream,
        click.progressbar(length=length, label=title, file=stream) as shown,
    ):
        yield lambda: shown.update(1)
