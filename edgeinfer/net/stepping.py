"""What is written once and runs both on a thread and in an event loop.

A conversation with a server is a generator that yields what is to be done next, and is told the result: it neither
waits nor knows who performs its steps. `performed` does so on this thread, `aperformed` in an event loop; `Performer`
knows how to send, to pause and to do. asyncio and concurrent.futures are imported where one waits: a predictor that
asks no server needs neither.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from edgeinfer.errors import NetworkTimeoutError
from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from concurrent.futures import Future

    from edgeinfer.host.clock import Clock
    from edgeinfer.net.exchange import Request, Transport

# Longer than anybody waits, and short enough for every clock.
_LONGEST_S = 1e6
Result = TypeVar("Result")
Steps = Generator[object, Any, Result]


@frozen
class Send:
    """Send a request; the result is a `Response`.

    Attributes:
        request: What to ask.
        until: Seconds of the clock's `monotonic` at which the answer must be there.
    """

    request: Request
    until: float


@frozen
class Pause:
    """Let time pass.

    Attributes:
        seconds: How long.
    """

    seconds: float


@frozen
class Do:
    """Do something that may take milliseconds, such as a write to the disk; the result is what it returns.

    Attributes:
        work: It.
        until: Seconds of the clock's `monotonic` after which nobody waits for it any more, where that may be: it then
            ends by itself. None waits.
    """

    work: Callable[[], Any]
    until: float | None = None


class Performer:
    """Performs the steps that every conversation has.

    Args:
        clock: The time.
        transport: What carries requests, where there are any.
    """

    def __init__(self, clock: Clock, transport: Transport | None) -> None:
        self._clock, self._transport = clock, transport

    def now(self, step: object) -> Any:
        """Perform a step on this thread."""
        if isinstance(step, Do):
            return step.work() if step.until is None else self._result(_aside(step.work), step)
        if isinstance(step, Pause):
            return self._clock.pause(step.seconds)
        assert isinstance(step, Send), f"{step!r} is no step"
        answer = self._sent(step)
        try:
            return self._result(answer, step)
        finally:
            answer.cancel()

    async def later(self, step: object) -> Any:
        """Perform a step in an event loop."""
        if isinstance(step, Do):
            if step.until is None:
                return await _in_pool(step.work)
            return await self._aresult(_aside(step.work), step)
        if isinstance(step, Pause):
            return await self._clock.apause(step.seconds)
        assert isinstance(step, Send), f"{step!r} is no step"
        return await self._aresult(self._sent(step), step)

    def _sent(self, step: Send) -> Future[Any]:
        assert self._transport is not None, "who asks a server has a way to it"
        left = self._left_s(step.until)
        if not left:
            raise _late(step, left)
        return self._transport.begin(step.request, left)

    def _result(self, future: Future[Any], step: Send | Do) -> Any:
        from concurrent.futures import CancelledError
        from concurrent.futures import TimeoutError as Late

        left = self._left_s(step.until)
        try:
            return future.result(left)
        except (Late, CancelledError):
            raise _late(step, left) from None

    async def _aresult(self, future: Future[Any], step: Send | Do) -> Any:
        import asyncio

        left = self._left_s(step.until)
        answer = asyncio.wrap_future(future)
        try:
            async with asyncio.timeout(left):
                return await answer
        except TimeoutError:
            raise _late(step, left) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if answer.cancelled() and task is not None and not task.cancelling():
                raise _late(step, left) from None  # the transport was closed
            raise

    def _left_s(self, until: float | None) -> float | None:
        """Return the time left, or None where there is no end."""
        return None if until is None else min(max(0.0, until - self._clock.monotonic()), _LONGEST_S)


def performed(steps: Steps[Result], perform: Callable[[object], Any]) -> Result:
    """Run a conversation to its end on this thread; what a step raises is raised in it."""
    act, given = steps.send, None
    while True:
        try:
            step = act(given)
        except StopIteration as end:
            result: Result = end.value
            return result
        try:
            act, given = steps.send, perform(step)
        except BaseException as error:  # the conversation decides what it means
            act, given = steps.throw, error


async def aperformed(steps: Steps[Result], perform: Callable[[object], Awaitable[Any]]) -> Result:
    """Run a conversation to its end in an event loop; what a step raises is raised in it."""
    act, given = steps.send, None
    while True:
        try:
            step = act(given)
        except StopIteration as end:
            result: Result = end.value
            return result
        try:
            act, given = steps.send, await perform(step)
        except BaseException as error:  # the conversation decides what it means
            act, given = steps.throw, error


async def _in_pool(work: Callable[[], Any]) -> Any:
    """Run something on one of a few threads, which the end of the event loop waits for."""
    import asyncio

    return await asyncio.to_thread(work)


def _aside(work: Callable[[], Any]) -> Future[Any]:
    """Run something on a thread of its own, which nobody has to wait for: not even the end of the process."""
    from concurrent.futures import Future

    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()  # it cannot be stopped

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="edgeinfer-aside", daemon=True).start()
    return done


def _late(step: Send | Do, seconds: float | None) -> NetworkTimeoutError:
    within = f"within {seconds or 0:.3g} s"
    if isinstance(step, Do):
        return NetworkTimeoutError("what a request needs was not there in time", expected=within)
    asked = f"{step.request.method} {step.request.url}"
    return NetworkTimeoutError(f"{asked} was not answered in time", expected=f"an answer {within}")
