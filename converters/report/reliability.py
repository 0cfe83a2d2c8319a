"""How often an answer of a given confidence is right, before and after calibration. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.verify.proportion import proportion
from edgeinfer.bundle import Proportion
from edgeinfer.preprocess import softmax

_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """Answers of about one confidence.

    Attributes:
        items: How many there are.
        confidence: Their mean confidence.
        accuracy: Share of them that is right, with its interval.
    """

    items: int
    confidence: float
    accuracy: Proportion


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram (DeGroot and Fienberg 1983; Guo et al. 2017, arXiv:1706.04599, figure 1)."""

    before: tuple[ConfidenceBin, ...]
    after: tuple[ConfidenceBin, ...]


def reliability(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> Reliability:
    """Return both diagrams of a model: as it is, and with its temperature."""
    return Reliability(confidence_bins(logits, labels, 1.0), confidence_bins(logits, labels, temperature))


def confidence_bins(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> tuple[ConfidenceBin, ...]:
    """Return ten bins of equal width, without those that are empty (Guo et al. 2017, equation 1)."""
    probabilities = softmax(logits, temperature)
    confidence, hits = probabilities.max(1), probabilities.argmax(1) == labels
    at = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return tuple(
        ConfidenceBin(int(mine.sum()), float(confidence[mine].mean()), proportion(hits[mine]))
        for mine in (at == number for number in range(_BINS))
        if mine.any()
    )
