"""A running recording cut into overlapping windows, and their answers smoothed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen

Samples = NDArray[np.int16]


@frozen
class Window:
    """A stretch of a running recording.

    Attributes:
        start_s: Where it begins, in seconds from the first sample.
        samples: `(window,) int16`.
    """

    start_s: float
    samples: Samples


def windows(chunks: Iterable[Samples], *, rate: int, window: int, hop: int) -> Iterator[Window]:
    """Cut a running recording into windows, each `hop` samples behind the one before.

    Holds one window and one chunk at a time. What is left at the end and fills no window is not yielded.

    Args:
        chunks: `(n,) int16` of any lengths, as a microphone gives them.
        rate: Samples a second.
        window: Samples in a window.
        hop: Samples from one window's start to the next one's, at most `window`.

    Raises:
        InputError: A chunk is no row of int16 samples, or the lengths make no sense.
    """
    if rate < 1 or not 1 <= hop <= window:
        raise InputError(
            "windows", found=f"rate {rate}, window {window}, hop {hop}", expected="1 <= hop <= window, a rate"
        )
    return _cut(chunks, rate, window, hop)


def _cut(chunks: Iterable[Samples], rate: int, window: int, hop: int) -> Iterator[Window]:
    held = np.empty(0, np.int16)
    start = 0
    for chunk in chunks:
        if not isinstance(chunk, np.ndarray) or chunk.dtype != np.int16 or chunk.ndim != 1:
            found = f"{chunk.dtype} {chunk.shape}" if isinstance(chunk, np.ndarray) else type(chunk).__name__
            raise InputError("a chunk of a recording", found=found, expected="a numpy array (n,) of int16")
        held = np.concatenate([held, chunk])
        at = 0
        while at + window <= len(held):
            yield Window((start + at) / rate, held[at : at + window].copy())
            at += hop
        held, start = held[at:].copy(), start + at


class Smoother:
    """The mean of the last probabilities: one window that errs does not change the answer.

    Posterior smoothing of Chen, Parada and Heigold 2014 (ICASSP, Small-footprint keyword spotting using deep
    neural networks), equation 2.

    Args:
        length: How many windows count, at least 1.

    Raises:
        InputError: It is less.
    """

    def __init__(self, length: int) -> None:
        if length < 1:
            raise InputError("windows to smooth over", found=length, expected="at least 1")
        self._last: deque[NDArray[np.float64]] = deque(maxlen=length)

    def __call__(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of these `(classes,)` and those before."""
        self._last.append(probabilities)
        mean: NDArray[np.float64] = np.mean(self._last, axis=0)
        return mean
