"""A share of hits with its interval, as manifests and reports state it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import Proportion, Split


def proportion(hits: NDArray[np.bool_], split: Split = "test") -> Proportion:
    """Return the share of hits with its 95% Wilson score interval (Wilson 1927).

    Args:
        hits: `(N,) bool`, at least one.
        split: Where the items are from.
    """
    from scipy.stats import binomtest

    count, total = int(hits.sum()), len(hits)
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Proportion(count / total, float(interval.low), float(interval.high), total, split)


def shown(share: Proportion) -> str:
    """Return a share with its interval in percent, for example `98.5% (97.2-99.2)`."""
    return f"{share.value:.1%} ({share.low * 100:.1f}-{share.high * 100:.1f})"
