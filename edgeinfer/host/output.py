"""What native code prints past Python's own streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for at, handle in enumerate(kept, start=1):
            os.dup2(handle, at)
            os.close(handle)
        os.close(target)
