"""Who runs when: all calls of a process before one budget of threads.

Invariants:
* the threads of the calls that run never exceed the budget, whatever number of models and callers there is;
* calls start in the order in which they came, but for those that join a batch of the same lane;
* a call that finds free threads runs at once, on the thread of its caller;
* a caller that gives up while it waits costs nothing; one whose call runs leaves the result behind;
* a call that waits in line is never without somebody who will wake it: whoever gives threads back does.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from edgeinfer.errors import DeadlineError, EngineRunError, OverloadError
from edgeinfer.host import allowed_processors, keep_on, processor_in_use
from edgeinfer.inference.batch import joined, parted
from edgeinfer.inference.lane import Lane, Run, State, Tensors, Ticket
from edgeinfer.inference.workers import workers

if TYPE_CHECKING:
    from edgeinfer.engines.seam import Array

# A run shorter than this is done on the processor where its caller waits, and the caller is kept there until it has
# its answer: to wake another processor twice, which finds nothing in its caches, takes longer than the run itself
# (90 us instead of 35 on a virtual machine). A longer run is the system's to place.
_SHORT_NS = 1_000_000
# The outputs of longer runs are all looked at, of shorter ones some: the look costs a microsecond.
_LONG_NS = 1_000_000
_NOW_AND_THEN = 64
_FOLD = 1024


class Scheduler:
    """Gives a process's threads to the calls of its models.

    Args:
        threads: Threads that may be busy at once.
    """

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._threads = threads
        self._free = threads
        self._line: deque[Ticket] = deque()

    @property
    def threads(self) -> int:
        """Threads that may be busy at once."""
        return self._threads

    def resize(self, threads: int) -> None:
        """Change the budget; what runs now runs on."""
        with self._lock:
            self._free += threads - self._threads
            self._threads = threads
            self._start_those_that_fit()

    def start_anew(self) -> None:
        """Forget who stands in line and who runs: in the child of a fork none of them is there."""
        self._lock = threading.Lock()
        self._free = self._threads
        self._line.clear()

    def caller(self, lane: Lane) -> Run:
        """Return what runs a lane's calls on their callers' threads: at once, or when it is their turn.

        A call that finds free threads costs a third of a microsecond here, where a lock taken twice would cost more
        than that alone. It raises as `call` does.
        """
        if not _one_thread_at_a_time():
            return partial(self.call, lane)
        needed, clock, line, durations = lane.threads, time.perf_counter_ns, self._line, lane.durations
        pending = durations.pending

        def call(inputs: Tensors, count: int) -> dict[str, Array]:
            taken = 0
            try:
                # CPython goes to another thread, or to a signal's handler, at calls and jumps back alone. There is
                # none from the first look at the free threads until they are noted as taken; a test holds that.
                if self._free >= needed and not line and not lane.company:
                    self._free -= needed
                    taken = needed
                if not taken:
                    return self.call(lane, inputs, count)
                start = clock()
                if lane.on_delay is not None:
                    lane.on_delay(start, 0)
                outputs = lane.run(inputs, count)
                ran_ns = clock() - start
                durations.add(ran_ns)
                if ran_ns > _LONG_NS or not len(pending) % _NOW_AND_THEN:
                    _look(lane, outputs)
                return outputs
            except Exception:
                lane.errors += 1 if taken else 0
                raise
            finally:
                if taken:
                    self._free += taken
                    if line:
                        self._serve()

        return call

    def call(self, lane: Lane, inputs: Tensors, count: int) -> dict[str, Array]:
        """Run on the caller's thread when it is its turn, perhaps in a batch.

        Raises:
            OverloadError: Too many stand in line.
            EngineRunError: The run failed.
        """
        with self._lock:
            ticket = self._admitted(Ticket(lane, inputs, count, None))
            self._start_those_that_fit()
        return self._when_its_turn_comes(ticket)

    def call_by(self, lane: Lane, inputs: Tensors, count: int, deadline_ns: int) -> dict[str, Array]:
        """Run on another thread and wait for it until a time of `perf_counter_ns`.

        Raises:
            DeadlineError: It was not ready in time; what runs is left to end by itself.
            OverloadError: Too many stand in line.
            EngineRunError: The run failed.
        """
        ticket = Ticket(lane, inputs, count, _wake)
        here = processor_in_use() if lane.last_ns < _SHORT_NS else None
        anywhere = None if here is None else allowed_processors()
        ticket.processor = here
        with self._lock:
            self._admitted(ticket)
            self._start_those_that_fit()
        try:
            if here is not None:
                keep_on((here,))
            left_s = (deadline_ns - time.perf_counter_ns()) / 1e9
            ready = ticket.signal.acquire(timeout=max(0.0, left_s))
        except BaseException:
            self.give_up(ticket)
            raise
        finally:
            if anywhere is not None:
                keep_on(anywhere)
        if not ready and self.give_up(ticket):
            raise late(ticket, deadline_ns)
        return ticket.answer()

    def submit(self, lane: Lane, inputs: Tensors, count: int, done: Callable[[Ticket], None]) -> Ticket:
        """Run on another thread; `done` is told there, once, unless the ticket is given up before.

        Raises:
            OverloadError: Too many stand in line.
            EngineRunError: The interpreter is shutting down.
        """
        ticket = Ticket(lane, inputs, count, done)
        with self._lock:
            self._admitted(ticket)
            self._start_those_that_fit()
        return ticket

    def give_up(self, ticket: Ticket) -> bool:
        """Take a call out of the line or leave its result behind; return whether it had no answer yet."""
        with self._lock:
            if ticket.state is State.DONE:
                return False
            if ticket.state is State.WAITING:
                ticket.lane.in_line -= 1
                ticket.state = State.GONE
            ticket.done = _nobody
            return True

    def _admitted(self, ticket: Ticket) -> Ticket:
        """Put a call in line, or into the batch that is gathering. The lock is held."""
        lane = ticket.lane
        leader = lane.gathering
        if leader is not None and leader.items + ticket.count <= lane.max_batch:
            ticket.state = State.RIDING
            leader.batch.append(ticket)
            leader.items += ticket.count
            if leader.items == lane.max_batch:
                lane.gathering = None
                assert leader.full is not None, "made when it began to gather"
                leader.full.release()
            return ticket
        if lane.in_line >= lane.max_waiting:
            raise OverloadError(
                f"{lane.name} is overloaded",
                found=f"{lane.in_line} calls in line",
                expected=f"fewer than {lane.max_waiting}",
                next_step="ask again later, ask less often, or give it a smaller variant to shed load to",
            )
        self._line.append(ticket)
        lane.in_line += 1
        if lane.max_batch > 1:
            lane.waiting.append(ticket)
        return ticket

    def _serve(self) -> None:
        with self._lock:
            self._start_those_that_fit()

    def _start_those_that_fit(self) -> None:
        """Give free threads to the first in line, and wake who has to run. The lock is held."""
        while self._line:
            first = self._line[0]
            if first.state is not State.WAITING:
                self._line.popleft()
                continue
            needed = min(first.lane.threads, self._threads)
            if self._free < needed:
                return
            self._free -= needed  # before any call: see `caller`
            self._line.popleft()
            first.threads = needed
            self._lead(first)
            if first.detached:
                self._run_elsewhere(first)
            else:
                first.signal.release()

    def _lead(self, first: Ticket) -> None:
        """Make a call the leader of a batch of those that wait for the same lane. The lock is held."""
        lane = first.lane
        first.state = State.LEADING
        lane.in_line -= 1
        while lane.waiting:
            other = lane.waiting[0]
            if other.state is State.WAITING:
                if first.items + other.count > lane.max_batch:
                    break
                other.state = State.RIDING
                lane.in_line -= 1
                first.batch.append(other)
                first.items += other.count
            lane.waiting.popleft()
        if lane.max_delay_ns and lane.company and first.items < lane.max_batch:
            lane.gathering = first
            first.full = threading.Lock()
            first.full.acquire()

    def _when_its_turn_comes(self, ticket: Ticket) -> dict[str, Array]:
        try:
            ticket.signal.acquire()
        except BaseException:
            self.give_up(ticket)
            if ticket.state is State.LEADING:  # others may ride with it
                with self._lock:
                    self._run_elsewhere(ticket)
            raise
        if ticket.state is State.LEADING:
            self._run(ticket, own_thread=True)
        return ticket.answer()

    def _run_elsewhere(self, leader: Ticket) -> None:
        """Run a batch on a thread of its own. The lock is held."""
        try:
            workers().submit(lambda: self._run(leader, own_thread=False), leader.processor)
        except EngineRunError as error:
            self._free += leader.threads
            for each in leader.batch:
                each.error, each.state = error, State.DONE
                _tell(each, None)

    def _run(self, leader: Ticket, *, own_thread: bool) -> None:
        """Run a batch and tell everyone in it."""
        lane = leader.lane
        try:
            self._gather(leader)
            now = time.perf_counter_ns()
            if lane.on_delay is not None:
                lane.on_delay(now, now - leader.arrived_ns)
            taken = _run_batch(lane, leader.batch)
        except BaseException:
            self._pass_on(leader)
            raise
        with self._lock:
            self._free += leader.threads
            lane.company = len(leader.batch) > 1
            for each in leader.batch:
                each.state = State.DONE
            for duration in taken:
                lane.durations.add(duration)
                lane.last_ns = duration
            self._start_those_that_fit()
        self._look_at(leader, taken)
        for each in leader.batch:
            _tell(each, None if not own_thread else leader)

    def _look_at(self, leader: Ticket, taken: list[int]) -> None:
        lane, outputs = leader.lane, leader.outputs
        if outputs is not None and (taken[0] > _LONG_NS or not len(lane.durations.pending) % _NOW_AND_THEN):
            _look(lane, outputs)

    def _pass_on(self, leader: Ticket) -> None:
        """Let those that ride with an interrupted leader go on without it, with its threads."""
        with self._lock:
            leader.state = State.DONE
            rest = [each for each in leader.batch if each is not leader and not each.answered]
            if rest:
                heir = rest[0]
                heir.batch, heir.threads, heir.state = rest, leader.threads, State.LEADING
                self._run_elsewhere(heir)
            else:
                self._free += leader.threads
                self._start_those_that_fit()

    def _gather(self, leader: Ticket) -> None:
        """Wait for company, where the batch before had some."""
        lane = leader.lane
        if leader.full is not None:
            leader.full.acquire(timeout=lane.max_delay_ns / 1e9)
            with self._lock:
                if lane.gathering is leader:
                    lane.gathering = None


def _look(lane: Lane, outputs: Tensors) -> None:
    """Let whoever watches the lane see a run's outputs, and count times, many at once."""
    if lane.ran is not None:
        lane.ran(outputs)
    if len(lane.durations.pending) >= _FOLD:
        lane.durations.fold()


def _one_thread_at_a_time() -> bool:
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


def _run_batch(lane: Lane, batch: list[Ticket]) -> list[int]:
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
        return [taken for each in batch for taken in _run_batch(lane, [each])]
    taken = time.perf_counter_ns() - start
    for each, part in zip(batch, parted(outputs, [each.count for each in batch]), strict=True):
        each.outputs = part
    return [taken] * len(batch)


def _tell(ticket: Ticket, knows: Ticket | None) -> None:
    """Tell a caller that its answer is there; the one on whose thread the batch ran knows."""
    if ticket.done is not None:
        ticket.done(ticket)
    elif ticket is not knows:
        ticket.signal.release()


def _wake(ticket: Ticket) -> None:
    ticket.signal.release()


def _nobody(_ticket: Ticket) -> None:
    """Stands in for the callback of a caller that gave up."""
