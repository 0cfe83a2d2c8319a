"""Two models on the same items: what their hits and misses, item by item, say of the difference. Pure.

Two accuracies with an interval each say little of their difference: both models mostly fail on the
same items. Only the items on which they disagree carry evidence, and every figure here comes from
their two counts: `first_only`, right in the first model alone, and `second_only`, in the second alone.

    from converters.verify.paired import pair_hits

    figures = pair_hits(student_logits.argmax(1) == labels, int8_logits.argmax(1) == labels)
    figures.difference, figures.low, figures.high     # points that the student is ahead by, 95%
    figures.upper_bound                               # the int8 file loses at most this (one-sided 95%)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_MOST_ITEMS = 1e9


@dataclass(frozen=True)
class Paired:
    """How much more often the first of two models is right, on the same items.

    All shares are in -1..1 and positive where the first model is better.

    Attributes:
        n: Items.
        first_only: Items that only the first model gets right.
        second_only: Items that only the second gets right.
        difference: Accuracy of the first minus that of the second.
        low: Lower end of its two-sided 95% score interval (Tango 1998).
        high: Upper end.
        lower_bound: One-sided 95% bound: the difference is at least this.
        upper_bound: One-sided 95% bound: the difference is at most this.
        p_value: Of no difference, two-sided (McNemar's test, exact).
    """

    n: int
    first_only: int
    second_only: int
    difference: float
    low: float
    high: float
    lower_bound: float
    upper_bound: float
    p_value: float


def pair_hits(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Return the paired figures of two models' hits.

    Args:
        first: `(N,) bool`, whether the first model is right on each item.
        second: `(N,) bool`, the second model on the same items in the same order.

    Raises:
        ValueError: There are no items, or not as many in both.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"hits of shapes {first.shape} and {second.shape}, expected (N,) twice")
    return pair_counts(int((first & ~second).sum()), int((second & ~first).sum()), len(first))


def pair_counts(first_only: int, second_only: int, n: int) -> Paired:
    """Return the paired figures from the counts on which they rest.

    Raises:
        ValueError: `n` is not positive, or less than both counts together, or a count is negative.
    """
    low, high = score_interval(first_only, second_only, n)
    # Each end of a two-sided 90% interval is a one-sided 95% bound.
    lower, upper = score_interval(first_only, second_only, n, 2 * CONFIDENCE - 1)
    return Paired(
        n,
        first_only,
        second_only,
        (first_only - second_only) / n,
        low,
        high,
        lower,
        upper,
        mcnemar_exact(first_only, second_only),
    )


def score_interval(
    first_only: int, second_only: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the two-sided score interval of the difference of two paired proportions.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17:891-908, section 3. With `b` and `c` the counts, it
    is every difference `d` that the score test does not refuse:

        |b - c - n d| <= z sqrt(n (2 q + d (1 - d)))

    where `q`, the likeliest chance of `c` at that `d`, is the larger root of
    `2 n q^2 + (-b - c + (2 n - b + c) d) q - c d (1 - d) = 0`. It keeps its coverage where a Wald
    interval fails, which is here: few items on which two good models disagree, or none.

    Args:
        first_only: `b`.
        second_only: `c`.
        n: Items.
        confidence: Between 0 and 1.

    Raises:
        ValueError: As `pair_counts`.
    """
    _check(first_only, second_only, n)
    low = -_upper_end(second_only, first_only, n, confidence)
    return low, _upper_end(first_only, second_only, n, confidence)


def _upper_end(b: int, c: int, n: int, confidence: float) -> float:
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + confidence) / 2))

    def excess(d: float) -> float:
        """Positive inside the interval, negative beyond its upper end."""
        middle = -b - c + (2 * n - b + c) * d
        root = math.sqrt(max(0.0, middle * middle + 8 * n * c * d * (1 - d)))
        variance = n * (2 * (root - middle) / (4 * n) + d * (1 - d))
        return b - c - n * d + z * math.sqrt(max(0.0, variance))

    # Where the estimate has no variance the equation is solved by itself, and by one more root:
    if b == n:
        return 1.0
    if c == n:
        return (z * z - n) / (z * z + n)
    if b == c == 0:
        return z * z / (z * z + n)
    return float(brentq(excess, (b - c) / n, 1.0, xtol=1e-12))


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value of McNemar's test (1947, Psychometrika 12:153-157), exact.

    Under no difference `first_only` is binomial, with chance one half, among the items that differ.
    """
    from scipy.stats import binomtest

    total = first_only + second_only
    return float(binomtest(first_only, total).pvalue) if total else 1.0


def needed_items(difference: float, disagreement: float, *, power: float = 0.8) -> int:
    """Return how many items tell a difference of accuracies from none (two-sided, 5%).

    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43:207-211: `n = ((z_a sqrt(p) + z_b sqrt(p - d^2)) / d)^2`, p the share of items on which
    exactly one of both models is right.

    Args:
        difference: `d`, not 0; its sign does not matter.
        disagreement: `p`, at least `|d|`: two models cannot differ by more than they disagree.
        power: Chance to see the difference where it is there.

    Raises:
        ValueError: A share is out of range.
    """
    from scipy.stats import norm

    d = abs(difference)
    if not 0 < d <= disagreement <= 1 or not 0 < power < 1:
        raise ValueError(f"difference {difference}, disagreement {disagreement}, power {power}")
    at_risk = float(norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(disagreement)
    wanted = float(norm.ppf(power)) * math.sqrt(disagreement - d * d)
    return math.ceil(((at_risk + wanted) / d) ** 2)


def items_for_bound(seen: Paired, limit: float) -> int | None:
    """Return how many items would bring `upper_bound` down to a limit, were the rates those seen.

    Returns:
        About that many, to two digits; None where no number does, because the difference itself is not
        below the limit, or none below a thousand million.
    """
    if seen.difference >= limit:
        return None
    items = float(seen.n)
    while items < _MOST_ITEMS:
        scale = items / seen.n
        _, upper = score_interval(
            round(seen.first_only * scale), round(seen.second_only * scale), round(items), 2 * CONFIDENCE - 1
        )
        if upper <= limit:
            return int(float(f"{items:.1e}"))
        items *= 1.1
    return None


def _check(first_only: int, second_only: int, n: int) -> None:
    if n <= 0 or min(first_only, second_only) < 0 or first_only + second_only > n:
        raise ValueError(f"counts {first_only} and {second_only} of {n} items")
