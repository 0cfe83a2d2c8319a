"""What stands in line: the lane of a model file, and the ticket of a call."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING

from edgeinfer.inference.histogram import DurationHistogram

if TYPE_CHECKING:
    from edgeinfer.engines.seam import Array

Tensors = Mapping[str, "Array"]
Run = Callable[[Tensors, int], dict[str, "Array"]]


_NOT_YET = 2**62


class State(Enum):
    """Where a call is."""

    WAITING = auto()
    LEADING = auto()  # it has threads, and runs its batch
    RIDING = auto()  # in the batch of another
    DONE = auto()
    GONE = auto()  # its caller gave up


class Lane:
    """One model file that answers, as the scheduler sees it.

    Args:
        run: Runs tensors with a number of items.
        threads: Threads that one run keeps busy.
        max_batch: Items that may run together; 1 where batching does not pay.
        max_delay_ns: How long a batch may wait for company, when the one before had some.
        max_waiting: Calls that may stand in line.
        name: For messages.

    Attributes:
        on_delay: Told when a call left the line: now and how long it stood there, in nanoseconds.
        durations: How long runs took.
        ran: Told of a run's outputs: of each that took over a millisecond, else of one in 64.
        errors: Runs that failed.
    """

    def __init__(
        self,
        run: Run,
        *,
        threads: int = 1,
        max_batch: int = 1,
        max_delay_ns: int = 0,
        max_waiting: int = 1024,
        name: str = "the model",
    ) -> None:
        self.run, self.threads, self.name = run, threads, name
        self.max_batch, self.max_delay_ns, self.max_waiting = max_batch, max_delay_ns, max_waiting
        self.on_delay: Callable[[int, int], None] | None = None
        self.durations = DurationHistogram()
        self.ran: Callable[[Tensors], None] | None = None
        self.errors = 0
        # The rest is the scheduler's.
        self.waiting: deque[Ticket] = deque()
        self.in_line = 0
        self.last_ns = _NOT_YET
        self.gathering: Ticket | None = None
        self.company = False


class Ticket:
    """One call that could not run at once, or that does not run on its caller's thread."""

    __slots__ = (
        "arrived_ns", "batch", "count", "detached", "done", "error", "full", "inputs", "items", "lane",
        "outputs", "processor", "signal", "state", "threads",
    )  # fmt: skip

    def __init__(
        self, lane: Lane, inputs: Tensors, count: int, done: Callable[[Ticket], None] | None
    ) -> None:
        self.lane, self.inputs, self.count = lane, inputs, count
        self.detached = done is not None
        self.done = done
        self.signal = threading.Lock()
        self.signal.acquire()
        self.state = State.WAITING
        self.arrived_ns = time.perf_counter_ns()
        self.batch: list[Ticket] = [self]
        self.items = count
        self.threads = 0
        self.full: threading.Lock | None = None
        # Where its caller waits for it, if it does and is not busy otherwise.
        self.processor: int | None = None
        self.outputs: dict[str, Array] | None = None
        self.error: Exception | None = None

    @property
    def answered(self) -> bool:
        """Whether it has outputs or an error."""
        return self.outputs is not None or self.error is not None

    def answer(self) -> dict[str, Array]:
        """Return the outputs, or raise what the run raised."""
        if self.error is not None:
            raise self.error
        assert self.outputs is not None, "asked after the run"
        return self.outputs
