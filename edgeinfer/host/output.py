"""What native code prints past Python's own streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send this process's standard output and error, native code's too, to the end of a file.

    For commands and conversions, which own their process meanwhile: it changes the descriptors of
    all threads. A stream that the process was started without stays closed.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with path.open("a", encoding="utf-8", errors="backslashreplace") as target:
        kept = {number: os.dup(number) for number in (1, 2) if _is_open(number)}
        try:
            for number in kept:
                os.dup2(target.fileno(), number)
            # Python's own streams need not be those descriptors: notebooks and tests replace them.
            with redirect_stdout(target), redirect_stderr(target):
                yield
        finally:
            target.flush()
            for number, handle in kept.items():
                os.dup2(handle, number)
                os.close(handle)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
