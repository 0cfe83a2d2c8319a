"""The event loop in which this process's requests run, on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Loop:
    """Starts its thread with the first request, and anew in a child that was forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="edgeinfer-net", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


_shared = _Loop()


def submit(work: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Run a coroutine in the loop; cancelling the future cancels it."""
    return _shared.submit(work)


def _after_fork() -> None:
    # The thread is not in the child; the loop's sockets still are the parent's, and are left to it.
    _shared.__init__()  # type: ignore[misc] # the same object, as it began


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
