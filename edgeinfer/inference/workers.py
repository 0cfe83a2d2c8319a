"""Threads that run what a caller's own thread cannot: calls with a deadline, and those of asyncio."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from edgeinfer.errors import EngineRunError
from edgeinfer.host import allowed_processors, keep_on

_IDLE_S = 10.0
_EXIT_S = 5.0
Job = Callable[[], None]


class Workers:
    """Starts a thread when one is needed, and lets it go when it had nothing to do for a while.

    Invariants:
    * the thread that became idle last is woken first, so that those no longer needed leave;
    * an idle thread waits for a lock and costs no processor time;
    * a job never waits for another job, so that any limit of threads makes progress.

    Args:
        limit: Threads at most; further jobs stand in line.
        name: Of the threads.
    """

    def __init__(self, limit: int, name: str = "edgeinfer-worker") -> None:
        self._limit, self.name = limit, name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._jobs: deque[Job] = deque()
        self._threads = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """Threads that are there now."""
        return self._threads

    def start_anew(self) -> None:
        """Forget all threads: in the child of a fork none of them is there."""
        self._lock = threading.Lock()
        self._idle.clear()
        self._jobs.clear()
        self._threads = 0

    @property
    def closing(self) -> bool:
        """Whether the interpreter is shutting down."""
        return self._closed

    def submit(self, job: Job, processor: int | None = None) -> None:
        """Run a job on one of the threads; it must handle its own errors.

        Args:
            job: What to do.
            processor: Number of the logical processor to do it on, where a thread is idle; None leaves that to the
                system.

        Raises:
            EngineRunError: The interpreter is shutting down.
        """
        with self._lock:
            if self._closed:
                raise EngineRunError("the program is ending", next_step="ask before it ends")
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.move_to(processor)
                worker.wake.release()
                return
            if self._threads >= self._limit:
                self._jobs.append(job)
                return
            self._threads += 1
        _Worker(self, job).start()

    def close(self, timeout_s: float) -> bool:
        """Take no more jobs, and wait for those that run; return whether all of them ended in time."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.wake.release()
        end = time.monotonic() + timeout_s
        for worker in list(_Worker.alive):
            if worker.owner is self and worker is not threading.current_thread():
                worker.join(max(0.0, end - time.monotonic()))
        return self._threads == 0

    def _next(self, worker: _Worker) -> Job | None:
        """Return what a worker does next, waiting for it; None when it may leave."""
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            if self._closed:
                self._threads -= 1
                return None
            worker.job = None
            self._idle.append(worker)
        if not worker.wake.acquire(timeout=_IDLE_S):
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    self._threads -= 1
                    return None
            worker.wake.acquire()  # it was woken as its time ran out
        if worker.job is None:
            with self._lock:
                self._threads -= 1
        return worker.job


class _Worker(threading.Thread):
    # Threads of fallen-away owners drop out of this by ending.
    alive: ClassVar[set[_Worker]] = set()

    def __init__(self, owner: Workers, job: Job) -> None:
        # A daemon, since a call into an engine cannot be interrupted and may never return.
        super().__init__(name=owner.name, daemon=True)
        self.owner = owner
        self.job: Job | None = job
        self.wake = threading.Lock()
        self.wake.acquire()
        self._processor: int | None = None
        self.alive.add(self)

    def move_to(self, processor: int | None) -> None:
        """Bind the thread to a processor, or to those of the process again."""
        if processor == self._processor or self.native_id is None:
            return
        keep_on(allowed_processors(os.getpid()) if processor is None else (processor,), self.native_id)
        self._processor = processor

    def run(self) -> None:
        job = self.job
        try:
            while job is not None:
                job()
                # An answer must not be kept alive by the thread that made it.
                self.job = job = None
                job = self.owner._next(self)
        finally:
            self.alive.discard(self)


def _limit() -> int:
    return max(4, 2 * (os.cpu_count() or 1))


_workers = Workers(_limit())
_preparers = Workers(os.cpu_count() or 1, "edgeinfer-preparer")


def workers() -> Workers:
    """Return this process's threads for runs."""
    return _workers


def preparers() -> Workers:
    """Return this process's threads for preparing items ahead: no run stands in line behind them."""
    return _preparers


def _after_fork() -> None:
    _Worker.alive.clear()
    _workers.start_anew()
    _preparers.start_anew()


def _at_exit() -> None:
    # A thread that comes back from native code while the interpreter falls apart would abort the process.
    _preparers.close(_EXIT_S)
    _workers.close(_EXIT_S)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
