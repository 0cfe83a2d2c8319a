"""Logits to an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def softmax(logits: NDArray[np.generic], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities over the last axis, `exp(x/T) / sum exp(x/T)`, computed in float64.

    A temperature fitted on held-out data calibrates them (Guo et al. 2017, arXiv:1706.04599, eq. 9).
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def top_k(probabilities: NDArray[np.float64], k: int) -> list[int]:
    """Return the indices of the `k` largest of a vector, largest first, ties in order of index."""
    return [int(index) for index in np.argsort(-probabilities, kind="stable")[:k]]
