"""Callers that come straight back keep their threads for a short while, though others stand in line.

To hand threads to the next in line after every short run would put one caller to sleep and wake another each time,
which takes longer than the run. As an operating system gives time slices, a caller that is known to call again at once
goes on for a slice; then the next in line has its turn. The scheduler's guard notices those that do not come back.
"""

from __future__ import annotations

import threading

SLICE_NS = 4_000_000
# A caller that has not come back after this, since the system runs something else meanwhile, loses its threads.
GRACE_NS = 600_000
# Within this time of its last answer a caller counts as coming straight back.
_AT_ONCE_NS = 200_000
# Where a run takes longer than this, to change hands costs little beside it.
_SHORT_RUN_NS = 500_000


class Lease:
    """What one thread may go on with.

    Attributes:
        threads: Threads of the budget that are kept for it and idle now.
        slice_ends_ns: Until when it may go on.
        back_by_ns: Until when it must have come back.
        finished_ns: When it had its last answer while others stood in line.
    """

    __slots__ = ("_comes_back", "back_by_ns", "finished_ns", "slice_ends_ns", "threads")

    def __init__(self) -> None:
        self.threads = self.slice_ends_ns = self.back_by_ns = self.finished_ns = 0
        self._comes_back = False

    def came(self, now_ns: int) -> None:
        """Note that the thread calls and has to wait."""
        self._comes_back = now_ns - self.finished_ns < _AT_ONCE_NS

    def begins(self, now_ns: int, run_ns: int) -> bool:
        """Note that a run has ended, and return whether the thread may keep its threads for a slice."""
        self.finished_ns = now_ns
        self.slice_ends_ns, self.back_by_ns = now_ns + SLICE_NS, now_ns + GRACE_NS
        return self._comes_back and run_ns < _SHORT_RUN_NS


class Leases:
    """The leases of all threads, each known to its own; one that keeps threads outlives its thread."""

    def __init__(self) -> None:
        self._lent: set[Lease] = set()
        self._own = threading.local()

    def mine(self) -> Lease:
        """Return this thread's."""
        try:
            lease: Lease = self._own.lease
        except AttributeError:
            lease = self._own.lease = Lease()
        return lease

    def lend(self, lease: Lease, threads: int) -> None:
        """Keep threads for a lease's owner."""
        lease.threads = threads
        self._lent.add(lease)

    def idle(self) -> list[Lease]:
        """Return those that keep threads idle now."""
        found = []
        for each in list(self._lent):
            # In this order: its owner may lend to it again meanwhile, which puts it back.
            self._lent.discard(each)
            if each.threads:
                self._lent.add(each)
                found.append(each)
        return found

    def forget(self) -> None:
        """Take all back: in the child of a fork their threads are not there."""
        for each in self.idle():
            each.threads = 0
