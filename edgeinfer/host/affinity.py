"""Which logical processors a thread may run on, where the system lets a program say so: Linux."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable


def processor_in_use() -> int | None:
    """Return the number of the logical processor that this thread runs on now, or None where it is not told."""
    asked = _sched_getcpu()
    number = asked() if asked else -1
    return None if number < 0 else number


def allowed_processors(thread: int = 0) -> set[int]:
    """Return where a thread may run: the native id of a thread, or 0 for this one."""
    return os.sched_getaffinity(thread) if hasattr(os, "sched_getaffinity") else set()


def keep_on(processors: Iterable[int], thread: int = 0) -> None:
    """Let a thread run on these processors alone, where they are still this process's; else nothing changes."""
    try:  # noqa: SIM105 - `suppress` takes longer than the system's part of it
        os.sched_setaffinity(thread, processors)
    except (OSError, AttributeError):
        pass


@functools.cache
def _sched_getcpu() -> Callable[[], int] | None:
    """Return the C library's `sched_getcpu(3)`, of which Python knows nothing."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    import ctypes

    return getattr(ctypes.CDLL(None), "sched_getcpu", None)
