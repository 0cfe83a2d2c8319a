"""What is written once and runs both on a thread and in an event loop.

A conversation with a server is a generator that yields what is to be done next, and is told the result: it neither
waits nor knows who performs its steps. `performed` does so on this thread, `aperformed` in an event loop; `Performer`
knows how to send, to pause and to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as Late
from typing import Any, TypeVar

from edgeinfer.errors import NetworkTimeoutError
from edgeinfer.frozen import frozen
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
        transport: What carries requests.
        clock: The time.
    """

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport, self._clock = transport, clock

    def now(self, step: object) -> Any:
        """Perform a step on this thread."""
        if isinstance(step, Do):
            return step.work() if step.until is None else _aside(step.work, self._left_until(step.until))
        if isinstance(step, Pause):
            return self._clock.pause(step.seconds)
        assert isinstance(step, Send), f"{step!r} is no step"
        left = self._left(step)
        answer = self._transport.begin(step.request, left)
        try:
            return answer.result(left)
        except (Late, CancelledError):
            raise _late(step.request, left) from None
        finally:
            answer.cancel()

    async def later(self, step: object) -> Any:
        """Perform a step in an event loop."""
        if isinstance(step, Do):
            limit = None if step.until is None else self._left_until(step.until)
            try:
                async with asyncio.timeout(limit):
                    return await asyncio.to_thread(step.work)
            except TimeoutError:
                raise _too_long(limit or 0.0) from None
        if isinstance(step, Pause):
            return await self._clock.apause(step.seconds)
        assert isinstance(step, Send), f"{step!r} is no step"
        left = self._left(step)
        answer = asyncio.wrap_future(self._transport.begin(step.request, left))
        try:
            async with asyncio.timeout(left):
                return await answer
        except TimeoutError:
            raise _late(step.request, left) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if answer.cancelled() and task is not None and not task.cancelling():
                raise _late(step.request, left) from None  # the transport was closed
            raise

    def _left(self, step: Send) -> float:
        left = self._left_until(step.until)
        if left <= 0:
            raise _late(step.request, 0.0)
        return left

    def _left_until(self, until: float) -> float:
        return min(until - self._clock.monotonic(), _LONGEST_S)


def _aside(work: Callable[[], Any], seconds: float) -> Any:
    """Run something on a thread of its own, and wait for it no longer than that."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="edgeinfer-aside", daemon=True).start()
    try:
        return done.result(max(0.0, seconds))
    except Late:
        raise _too_long(seconds) from None


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


def _late(request: Request, seconds: float) -> NetworkTimeoutError:
    return NetworkTimeoutError(
        f"{request.method} {request.url} was not answered in time",
        expected=f"an answer within {seconds:.3g} s",
    )


def _too_long(seconds: float) -> NetworkTimeoutError:
    return NetworkTimeoutError(
        "what a request needs was not there in time", expected=f"within {seconds:.3g} s"
    )
