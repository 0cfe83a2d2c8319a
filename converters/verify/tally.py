"""Error of one tensor against another, added up batch by batch in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A layer that should be silent and is not has no ratio; it is told as this.
_FLOOR_DB = -100.0


@dataclass(frozen=True)
class Compared:
    """Two tensors held against each other over all batches.

    Attributes:
        noise: Error power over signal power; 0 where no value differs.
        cosine: Cosine similarity; 1 where both are zero.
        largest_error: Largest absolute difference.
        low: Least reference value.
        high: Largest reference value.
        quantized_low: Least other value.
        quantized_high: Largest other value.
    """

    noise: float
    cosine: float
    largest_error: float
    low: float
    high: float
    quantized_low: float
    quantized_high: float

    @property
    def snr_db(self) -> float | None:
        """Return the signal-to-noise ratio in decibels; None where no value differs."""
        return decibels(self.noise)


class Tally:
    """Sums over batches."""

    def __init__(self) -> None:
        self._signal = self._error = self._other = self._product = 0.0
        self._largest = 0.0
        self._low = self._other_low = math.inf
        self._high = self._other_high = -math.inf

    def add(self, reference: NDArray[np.generic], given: NDArray[np.generic]) -> None:
        """Count one batch: two arrays of one shape."""
        one, two = (np.asarray(each, np.float64).ravel() for each in (reference, given))
        difference = two - one
        self._signal += _product(one, one)
        self._error += _product(difference, difference)
        self._other += _product(two, two)
        self._product += _product(one, two)
        self._largest = max(self._largest, float(np.abs(difference).max()))
        self._low, self._high = min(self._low, float(one.min())), max(self._high, float(one.max()))
        self._other_low = min(self._other_low, float(two.min()))
        self._other_high = max(self._other_high, float(two.max()))

    def compared(self) -> Compared:
        """Return the figures of everything counted; at least one batch was."""
        norms = math.sqrt(self._signal) * math.sqrt(self._other)
        silent = self._signal == self._other == 0.0
        return Compared(
            noise=_ratio(self._error, self._signal),
            cosine=1.0 if silent else max(-1.0, min(1.0, self._product / norms)) if norms else 0.0,
            largest_error=self._largest,
            low=self._low,
            high=self._high,
            quantized_low=self._other_low,
            quantized_high=self._other_high,
        )


def decibels(noise: float) -> float | None:
    """Return `10 log10(signal power / error power)` (SQNR, as in Sheng et al. 2018, arXiv:1803.08607).

    Args:
        noise: Error power over signal power.

    Returns:
        None where there is no error; at least -100.
    """
    return None if noise == 0.0 else max(_FLOOR_DB, -10.0 * math.log10(noise))


def own_snr(noise: float, incoming: float) -> float | None:
    """Return the signal-to-noise ratio that a layer would have if its inputs were exact, in decibels.

    An estimate: errors of independent origin add in power, and a layer passes relative error on about as
    it came, so that reciprocals of SQNRs add up (Lin, Talathi and Annapureddy 2016, arXiv:1511.06393), and what
    a layer adds is what it has less what came in.

    Args:
        noise: Error power over signal power behind the layer.
        incoming: The same of its worst input.

    Returns:
        None where it adds nothing that could be told.
    """
    return None if noise <= incoming else decibels(noise - incoming)


def _product(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    # Not a BLAS dot product: its threads round by their number and wait for each other on a busy machine.
    return float(np.einsum("i,i->", one, other))


def _ratio(error: float, signal: float) -> float:
    if error == 0.0:
        return 0.0
    return error / signal if signal else 10 ** (-_FLOOR_DB / 10)
