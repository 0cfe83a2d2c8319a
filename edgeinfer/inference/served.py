"""A variant behind the scheduler: what a loaded model hands its calls to."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from edgeinfer.bundle import Manifest, Variant
from edgeinfer.engines.seam import Array
from edgeinfer.errors import DeadlineError, InputError
from edgeinfer.inference.bound import BoundVariant
from edgeinfer.inference.lane import Lane, Run, Ticket
from edgeinfer.inference.process import of_this_process, scheduler
from edgeinfer.inference.running import late
from edgeinfer.inference.selection import Selection
from edgeinfer.inference.traffic import Traffic
from edgeinfer.inference.workers import workers

if TYPE_CHECKING:
    import asyncio

Result = TypeVar("Result")
# An item in a batch must take this share of the time alone, or less: joining and parting cost something.
_WORTH_IT = 0.75


class Served:
    """Runs one variant, now, by a deadline, or for an event loop.

    Attributes:
        variant: What runs.
        runtime: Engine package and version that run it.
        reason: Why this variant and this engine.
        lane: How the scheduler knows it.
        run: Runs tensors with a number of items on this thread, when it is its turn; raises OverloadError where too
            many calls stand in line, EngineRunError where the engine fails.
    """

    def __init__(
        self, bound: BoundVariant, manifest: Manifest, selection: Selection, how: tuple[int, Traffic]
    ) -> None:
        threads, traffic = how
        self.runtime = selection.chosen.runtime or selection.chosen.engine
        self.reason = selection.reason
        pays = selection.batch_gain is not None and selection.batch_gain <= _WORTH_IT
        self.variant: Variant = bound.variant
        self._bound = bound
        self._scheduler = scheduler()
        self.lane = Lane(
            bound.runner(),
            threads=threads,
            max_batch=traffic.max_batch if pays else 1,
            max_delay_ns=int(traffic.max_delay_ms * 1e6),
            max_waiting=traffic.max_waiting,
            name=f"{manifest.name} {bound.variant.id}",
        )
        of_this_process(self.lane)
        self.run: Run = self._scheduler.caller(self.lane)

    def expected_ms(self) -> tuple[float, float]:
        """Return what nine in ten runs took at most, and how long one would stand in line now."""
        usual = (self.lane.durations.quantile_ns(0.9) or 0.0) / 1e6
        at_once = max(1, self._scheduler.threads // self.lane.threads)
        return usual, usual * self.lane.in_line / at_once

    def run_by(self, inputs: Mapping[str, Array], count: int, until_ns: int) -> dict[str, Array]:
        """Run on another thread, and wait for it until a time of `perf_counter_ns`.

        Raises:
            DeadlineError: The time was up.
            OverloadError: Too many calls stand in line.
            EngineRunError: The engine failed.
        """
        return self._scheduler.call_by(self.lane, inputs, count, until_ns)

    async def arun(self, inputs: Mapping[str, Array], count: int, until_ns: int | None) -> dict[str, Array]:
        """Run on another thread, and let the event loop go on; raises as `run_by` does."""
        import asyncio  # it takes as long to import as all of edgeinfer, and few programs need it

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def told(_ticket: Ticket) -> None:
            _tell(loop, _settle, future)

        ticket = self._scheduler.submit(self.lane, inputs, count, told)
        try:
            if until_ns is None:
                await future
            else:
                async with asyncio.timeout((until_ns - time.perf_counter_ns()) / 1e9):
                    await future
        except TimeoutError:
            if self._scheduler.give_up(ticket):
                raise late(ticket, until_ns or 0) from None
        except BaseException:
            self._scheduler.give_up(ticket)
            raise
        return ticket.answer()

    def close(self) -> None:
        """Free the model's memory."""
        self._bound.session.close()


async def in_worker(work: Callable[[], Result]) -> Result:
    """Run something on another thread, and let the event loop go on."""
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def job() -> None:
        try:
            result = work()
        except Exception as error:
            _tell(loop, _fail, future, error)
        else:
            _tell(loop, _settle, future, result)

    workers().submit(job)
    return await future


def deadline(milliseconds: float) -> int:
    """Return the time of `perf_counter_ns` that lies so many milliseconds ahead.

    Raises:
        InputError: It is no number above 0.
        DeadlineError: It is 0 or less: the time is up already.
    """
    number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    if not number or math.isnan(milliseconds):
        raise InputError("deadline_ms", found=milliseconds, expected="a number of milliseconds")
    if milliseconds <= 0:
        raise DeadlineError("the time was up before the call", found=f"{milliseconds} ms", expected="above 0")
    return time.perf_counter_ns() + int(min(milliseconds, threading.TIMEOUT_MAX * 1e3) * 1e6)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(what, *arguments)


def _settle(future: asyncio.Future[Result | None], result: Result | None = None) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
