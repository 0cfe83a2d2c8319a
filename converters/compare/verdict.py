"""What paired figures say of two models. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from converters.verify.paired import Paired, needed_items

_POWER = 0.8


@dataclass(frozen=True)
class Verdict:
    """Whether a new model names more items rightly than an old one.

    Attributes:
        verdict: What can be said.
        reason: Why, in a sentence.
        needed: Items that a difference worth telling takes, where none was told.
        needed_for_observed: Items that the very difference seen takes, where none was told and one was seen.
    """

    verdict: Literal["better", "worse", "cannot tell"]
    reason: str
    needed: int | None = None
    needed_for_observed: int | None = None


def judge(figures: Paired | None, smallest: float) -> Verdict:
    """Return the verdict on a new model, the first of the pair, against an old one.

    It is better where the 95% interval of the paired difference lies above 0, worse where it lies
    below. Else nothing can be told, and the items are given that would tell `smallest` with a chance of
    80%, if both models went on disagreeing as often as they did (Connor 1987).

    Args:
        figures: Paired hits, new before old; None without labels.
        smallest: The smallest difference of accuracies worth telling, above 0.
    """
    if figures is None:
        return Verdict("cannot tell", "without labels there is agreement alone")
    interval = (
        f"{figures.difference * 100:+.2f} points ({figures.low * 100:+.2f} to {figures.high * 100:+.2f})"
    )
    if figures.low > 0:
        return Verdict("better", f"a paired difference of {interval} lies above 0")
    if figures.high < 0:
        return Verdict("worse", f"a paired difference of {interval} lies below 0")
    seen = (figures.first_only + figures.second_only) / figures.n
    needed = needed_items(smallest, max(seen, smallest), power=_POWER)
    own = needed_items(figures.difference, seen, power=_POWER) if figures.difference else None
    points = f"{smallest * 100:g} point{'' if smallest == 0.01 else 's'}"
    if figures.n >= needed:
        told = f"a difference of {points} would have shown on {needed:,} items"
    else:
        told = f"a difference of {points} takes {needed:,} items, there are {figures.n:,}"
    return Verdict("cannot tell", f"a paired difference of {interval} leaves 0 open; {told}", needed, own)
