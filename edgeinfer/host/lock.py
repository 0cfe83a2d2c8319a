"""A lock between processes, given back by the system when its holder dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeinfer.host.clock import Clock

_AGAIN_S = 0.01


class FileLock:
    """Holds a file exclusively while its block runs.

    Raises on entering:
        BlockingIOError: Another process, or another lock of this one, holds it.
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def __enter__(self) -> FileLock:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)


@contextmanager
def locked(path: Path, clock: Clock, patience_s: float) -> Iterator[None]:
    """Hold a file exclusively while the block runs, having waited for whoever held it before.

    Raises:
        BlockingIOError: Somebody held it for all that time.
        OSError: The file cannot be made.
    """
    until, lock = clock.monotonic() + patience_s, FileLock(path)
    while True:
        try:
            lock.__enter__()
            break
        except BlockingIOError:
            if clock.monotonic() >= until:
                raise
            clock.pause(_AGAIN_S)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
