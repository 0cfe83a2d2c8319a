"""The confusion matrix and what follows from it, class by class. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from converters.verify.proportion import proportion
from edgeinfer.bundle import Proportion, Split


def confusion_counts(labels: NDArray[np.int64], named: NDArray[np.int64], classes: int) -> NDArray[np.int32]:
    """Return `(classes, classes) int32`: a row per true class, a column per named class."""
    counts = np.bincount(labels * classes + named, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int32)


def per_class(
    labels: NDArray[np.int64], named: NDArray[np.int64], names: Sequence[str], split: Split
) -> dict[str, Proportion]:
    """Return the share of each class's items that are named rightly, for each class that has any."""
    return {
        name: proportion(named[labels == at] == at, split)
        for at, name in enumerate(names)
        if (labels == at).any()
    }
