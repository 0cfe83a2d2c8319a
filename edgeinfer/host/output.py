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

    For commands, which own their process. A library must not call it: it changes the descriptors
    of all threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with path.open("a", encoding="utf-8") as target:
        try:
            os.dup2(target.fileno(), 1)
            os.dup2(target.fileno(), 2)
            # Python's own streams need not be those descriptors: notebooks and tests replace them.
            with redirect_stdout(target), redirect_stderr(target):
                yield
        finally:
            for at, handle in enumerate(kept, start=1):
                os.dup2(handle, at)
                os.close(handle)
