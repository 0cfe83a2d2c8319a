"""What all models of a process share: the budget of threads, and the folder for what was measured."""

from __future__ import annotations

import os
from typing import NoReturn
from weakref import WeakSet

from edgeinfer.errors import EngineRunError, InputError
from edgeinfer.host import cache_folder, usable_cpus
from edgeinfer.inference.lane import Lane
from edgeinfer.inference.scheduler import Scheduler

_MOST_THREADS = 1024


class _Shared:
    def __init__(self) -> None:
        self.scheduler: Scheduler | None = None
        self.cache: str | None = None
        self.lanes: WeakSet[Lane] = WeakSet()


_shared = _Shared()


def configure(*, threads: int | None = None, cache: str | os.PathLike[str] | None = None) -> None:
    """Set what all models of this process share; what is not given stays.

    Args:
        threads: Threads that runs may keep busy at once, all models together. From the start, the processors
            that this process may use: affinity and control groups count.
        cache: Folder for measured selections and prepared model files. From the start the user's cache
            folder, or `$EDGEINFER_CACHE`.

    Raises:
        InputError: `threads` is no number of 1 to 1024.
    """
    if threads is not None:
        scheduler().resize(checked_threads(threads))
    if cache is not None:
        _shared.cache = os.fspath(cache)


def checked_threads(threads: object) -> int:
    """Return a number of threads.

    Raises:
        InputError: It is none.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= _MOST_THREADS:
        raise InputError("threads", found=threads, expected=f"a whole number of 1 to {_MOST_THREADS}")
    return threads


def scheduler() -> Scheduler:
    """Return what gives this process's threads to calls."""
    if _shared.scheduler is None:
        _shared.scheduler = Scheduler(usable_cpus())
    return _shared.scheduler


def cache() -> str:
    """Return the folder for what can be made again."""
    return _shared.cache or cache_folder()


def of_this_process(lane: Lane) -> None:
    """Keep a lane from running in a child that is forked while its model is loaded."""
    _shared.lanes.add(lane)


def _after_fork() -> None:
    """Engines do not survive a fork: their threads, and whoever held their locks, are not in the child."""
    if _shared.scheduler is not None:
        _shared.scheduler.start_anew()
    for lane in _shared.lanes:
        lane.run = _forked


def _forked(_inputs: object, _count: int) -> NoReturn:
    raise EngineRunError(
        "this process was forked after the model was loaded",
        next_step="load the model after the fork, in each process",
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
