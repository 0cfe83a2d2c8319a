"""Several members' probabilities to one answer: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Combine = Literal["mean", "vote"]
Probabilities = NDArray[np.float64]


def combined(members: Sequence[Probabilities], how: Combine) -> tuple[list[int], Probabilities]:
    """Return the classes from the likeliest to the least likely, and a confidence for each class.

    Args:
        members: `(classes,)` probabilities of each member, at least one, in one order of classes.
        how: `mean` averages probabilities, the linear opinion pool (Stone 1961, Annals of Mathematical Statistics
            32(4)); `vote` counts how many members name a class first, and the mean decides between equals.

    Returns:
        Indices of the classes, and `(classes,)` means or shares of votes.
    """
    mean: Probabilities = np.mean(members, axis=0)
    if how == "mean":
        return [int(at) for at in np.argsort(-mean, kind="stable")], mean
    votes = np.zeros_like(mean)
    for each in members:
        votes[int(np.argmax(each))] += 1 / len(members)
    return [int(at) for at in np.lexsort((-mean, -votes))], votes
