"""What happens to tickets whose turn it is: they run, and their callers are told."""

from __future__ import annotations

import sys
import time

from edgeinfer.errors import DeadlineError
from edgeinfer.inference.batch import joined, parted
from edgeinfer.inference.lane import Lane, Tensors, Ticket

# The outputs of longer runs are all looked at, of shorter ones some: the look costs a microsecond.
LONG_NS = 1_000_000
NOW_AND_THEN = 64
# Times are counted so many at once.
_FOLD = 1024


def look(lane: Lane, outputs: Tensors) -> None:
    """Let whoever watches the lane see a run's outputs, and count times, many at once."""
    if lane.ran is not None:
        lane.ran(outputs)
    if len(lane.durations.pending) >= _FOLD:
        lane.durations.fold()


def one_thread_at_a_time() -> bool:
    """Whether this interpreter has its global lock."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def late(ticket: Ticket, deadline_ns: int) -> DeadlineError:
    """Return the error of a call that was given up at its deadline."""
    return DeadlineError(
        f"{ticket.lane.name} did not answer in time",
        found=f"{(time.perf_counter_ns() - ticket.arrived_ns) / 1e6:.1f} ms",
        expected=f"{(deadline_ns - ticket.arrived_ns) / 1e6:.1f} ms",
        next_step="allow more time, or use a smaller variant",
    )


def run_batch(lane: Lane, batch: list[Ticket]) -> list[int]:
    """Run tickets together; where that fails, each alone, so that one cannot spoil the others' answers.

    Returns:
        How long each ticket's run took, in nanoseconds, without those that failed.
    """
    start = time.perf_counter_ns()
    try:
        outputs = lane.run(*joined([(each.inputs, each.count) for each in batch]))
    except Exception as error:  # an engine of the caller's own may raise anything
        if len(batch) == 1:
            batch[0].error = error
            lane.errors += 1
            return []
        return [taken for each in batch for taken in run_batch(lane, [each])]
    taken = time.perf_counter_ns() - start
    for each, part in zip(batch, parted(outputs, [each.count for each in batch]), strict=True):
        each.outputs = part
    return [taken] * len(batch)


def tell(ticket: Ticket, knows: Ticket | None) -> None:
    """Tell a caller that its answer is there; the one on whose thread the batch ran knows."""
    if ticket.done is not None:
        ticket.done(ticket)
    elif ticket is not knows:
        ticket.signal.release()


def wake(ticket: Ticket) -> None:
    """Wake the caller that waits for a ticket."""
    ticket.signal.release()


def nobody(_ticket: Ticket) -> None:
    """Stands in for the callback of a caller that gave up."""
