"""Who runs when: all calls of a process before one budget of threads.

Invariants:
* the threads of the calls that run never exceed the budget, whatever number of models and callers there is;
* calls start in the order in which they came, but for those that join a batch of the same lane, and for callers that
  come straight back, which may go on for a slice of four milliseconds;
* a call that finds free threads runs at once, on the thread of its caller;
* a caller that gives up while it waits costs nothing; one whose call runs leaves the result behind;
* a call that waits in line is never without somebody who will wake it: whoever gives threads back does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from edgeinfer.errors import EngineRunError, OverloadError
from edgeinfer.host import allowed_processors, keep_on, processor_in_use
from edgeinfer.inference.lane import Lane, Run, State, Tensors, Ticket
from edgeinfer.inference.lease import GRACE_NS, Leases
from edgeinfer.inference.running import (
    LONG_NS,
    NOW_AND_THEN,
    late,
    look,
    nobody,
    one_thread_at_a_time,
    run_batch,
    tell,
    wake,
)
from edgeinfer.inference.workers import workers

if TYPE_CHECKING:
    from edgeinfer.engines.seam import Array

# A run shorter than this is done on the processor where its caller waits, and the caller is kept there until it has
# its answer: to wake another processor twice, which finds nothing in its caches, takes longer than the run itself
# (90 us instead of 35 on a virtual machine). A longer run is the system's to place.
_SHORT_NS = 1_000_000


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
        self._leases = Leases()
        self._guarding = False

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
        self._leases.forget()
        self._guarding = False

    def caller(self, lane: Lane) -> Run:  # noqa: C901 - of the function in it
        """Return what runs a lane's calls on their callers' threads: at once, or when it is their turn.

        A call that finds free threads costs a third of a microsecond here, where a lock taken twice would cost more
        than that alone. It raises as `call` does.
        """
        if not one_thread_at_a_time():
            return partial(self.call, lane)
        needed, clock, line, durations = lane.threads, time.perf_counter_ns, self._line, lane.durations
        pending, mine, lend = durations.pending, self._leases.mine, self._leases.lend
        alone = lane.max_batch == 1

        def call(inputs: Tensors, count: int) -> dict[str, Array]:  # noqa: C901, PLR0912 - a further call would show
            taken, own, end = 0, None, 0
            try:
                # CPython goes to another thread, or to a signal's handler, at calls and jumps back alone. There is
                # none from the first look at free threads until they are noted as taken; a test holds that.
                if not line:
                    if self._free >= needed and not lane.company:
                        self._free -= needed
                        taken = needed
                elif alone:
                    own = mine()
                    if own.threads >= needed:
                        taken = own.threads
                        own.threads = 0
                if not taken:
                    return self.call(lane, inputs, count)
                start = clock()
                if lane.on_delay is not None:
                    lane.on_delay(start, 0)
                outputs = lane.run(inputs, count)
                end = clock()
                durations.add(end - start)
                if end - start > LONG_NS or not len(pending) % NOW_AND_THEN:
                    look(lane, outputs)
                return outputs
            except Exception:
                lane.errors += 1 if taken else 0
                raise
            finally:
                if taken:
                    if own is not None and line and end and end < own.slice_ends_ns:
                        own.back_by_ns = end + GRACE_NS
                        lend(own, taken)
                        if not self._guarding:  # it left as the line was empty
                            self._guarded()
                    else:
                        self._free += taken
                        if line:
                            mine().finished_ns = clock()
                            self._serve()

        return call

    def call(self, lane: Lane, inputs: Tensors, count: int) -> dict[str, Array]:
        """Run on the caller's thread when it is its turn, perhaps in a batch.

        Raises:
            OverloadError: Too many stand in line.
            EngineRunError: The run failed.
        """
        self._leases.mine().came(time.perf_counter_ns())
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
        ticket = Ticket(lane, inputs, count, wake)
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
            ticket.done = nobody
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
        lane.waiting.append(ticket)
        return ticket

    def _guarded(self) -> bool:
        """Make sure that somebody looks after leases; return whether it is so."""
        if not self._guarding:
            self._guarding = True
            try:
                workers().submit(self._guard)
            except EngineRunError:
                self._guarding = False
        return self._guarding

    def _guard(self) -> None:
        """Take back the threads of callers that did not come back, until no lease is left."""
        nap = threading.Lock()
        nap.acquire()
        while not workers().closing:
            nap.acquire(timeout=GRACE_NS / 1e9)
            now = time.perf_counter_ns()
            with self._lock:
                idle = self._leases.idle()
                for each in idle:
                    if now > each.back_by_ns:
                        threads = each.threads
                        each.threads = 0  # no call between these: see `caller`
                        self._free += threads
                self._start_those_that_fit()
                if not idle and not self._line:
                    # Whoever lends looks for a guard afterwards, and the guard for leases after it has said that it
                    # leaves: one of them sees the other.
                    self._guarding = False
                    if not self._leases.idle():
                        return
                    self._guarding = True

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
                tell(each, None)

    def _run(self, leader: Ticket, *, own_thread: bool) -> None:
        """Run a batch and tell everyone in it."""
        lane = leader.lane
        try:
            self._gather(leader)
            now = time.perf_counter_ns()
            if lane.on_delay is not None:
                lane.on_delay(now, now - leader.arrived_ns)
            taken = run_batch(lane, leader.batch)
        except BaseException:
            self._pass_on(leader)
            raise
        with self._lock:
            if not (own_thread and self._begins_slice(leader, taken)):
                self._free += leader.threads
            lane.company = lane.max_delay_ns > 0 and len(leader.batch) > 1
            for each in leader.batch:
                each.state = State.DONE
            for duration in taken:
                lane.durations.add(duration)
                lane.last_ns = duration
            self._start_those_that_fit()
        self._look_at(leader, taken)
        for each in leader.batch:
            tell(each, None if not own_thread else leader)

    def _begins_slice(self, leader: Ticket, taken: list[int]) -> bool:
        """Whether a caller that had to wait keeps its threads for a slice. The lock is held."""
        if leader.lane.max_batch > 1 or not taken or not self._line:
            return False
        own = self._leases.mine()
        if not own.begins(time.perf_counter_ns(), taken[-1]) or not self._guarded():
            return False
        self._leases.lend(own, leader.threads)
        return True

    def _look_at(self, leader: Ticket, taken: list[int]) -> None:
        lane, outputs = leader.lane, leader.outputs
        if outputs is not None and (taken[0] > LONG_NS or not len(lane.durations.pending) % NOW_AND_THEN):
            look(lane, outputs)

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
