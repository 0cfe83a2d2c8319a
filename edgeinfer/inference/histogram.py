"""Durations counted in exponential buckets: bounded memory, a known error, no sorting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Each power of two is cut in 8: a bucket's middle is at most a sixteenth from any value in it.
_CUTS_LOG2 = 3
_CUTS = 1 << _CUTS_LOG2
_BITS = 40  # up to 2^40 ns, some 18 minutes; what is longer counts there
BUCKETS = (_BITS - _CUTS_LOG2 + 1) * _CUTS


def bucket_of(nanoseconds: int) -> int:
    """Return the bucket of a duration: exact below 16 ns, then 8 for each power of two."""
    if nanoseconds < _CUTS:
        return max(0, nanoseconds)
    shift = nanoseconds.bit_length() - _CUTS_LOG2 - 1
    return min(BUCKETS - 1, (shift << _CUTS_LOG2) + (nanoseconds >> shift))


def _buckets_of(durations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `bucket_of` each, for many at once."""
    clipped = np.clip(durations, 0, (1 << _BITS) - 1)
    # The exponent of a double is the number of bits of a whole number below 2^53.
    bits = np.frexp(clipped.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(bits - _CUTS_LOG2 - 1, 0)
    found: NDArray[np.int64] = (shift << _CUTS_LOG2) + (clipped >> shift)
    return found


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the first nanosecond of a bucket and the first that lies behind it."""
    if bucket < _CUTS:
        return bucket, bucket + 1
    shift, step = divmod(bucket - _CUTS, _CUTS)
    return (_CUTS + step) << shift, (_CUTS + step + 1) << shift


class DurationHistogram:
    """Counts durations. Threads may share it.

    Attributes:
        add: Takes one duration in nanoseconds: the append of a list, so that it costs next to nothing. Its owner
            calls `fold` now and then, which turns the list into counts.
        pending: Durations that were added since.
    """

    __slots__ = ("_counts", "_largest_ns", "_lock", "add", "pending")

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, np.int64)
        self._largest_ns = 0
        self.pending: list[int] = []
        self._lock = threading.Lock()
        self.add: Callable[[int], None] = self.pending.append

    def fold(self) -> None:
        """Count what was added."""
        with self._lock:
            taken = len(self.pending)
            if taken:
                durations = np.array(self.pending[:taken], np.int64)
                self._counts += np.bincount(_buckets_of(durations), minlength=BUCKETS)
                self._largest_ns = max(self._largest_ns, int(durations.max()))
                del self.pending[:taken]

    @property
    def count(self) -> int:
        """Durations that were added."""
        return sum(self.counts())

    @property
    def largest_ns(self) -> int:
        """The longest of them, 0 without any."""
        self.fold()
        return self._largest_ns

    def quantile_ns(self, share: float) -> float | None:
        """Return the middle of the bucket in which a share of the durations is reached, or None when empty.

        The middle is within a sixteenth of the value at that rank.
        """
        return quantile_ns(self.counts(), share)

    def counts(self) -> tuple[int, ...]:
        """Return the count of every bucket."""
        self.fold()
        return tuple(self._counts.tolist())


def quantile_ns(counts: Iterable[int], share: float) -> float | None:
    """Return the middle of the bucket that holds the value of rank `ceil(share * n)`, or None when empty."""
    filled = [(bucket, count) for bucket, count in enumerate(counts) if count]
    left = max(1.0, share * sum(count for _, count in filled))
    for bucket, count in filled:
        left -= count
        if left <= 0:
            low, high = bounds_of(bucket)
            return (low + high - 1) / 2
    return None
