"""Whether a model that seems to be wrong is right by another order of the classes. Pure.

Classes counted from 1, a background class in front, or folders sorted otherwise than the model's list
give a model whose every answer is the neighbour of the true one. A low accuracy does not say so; the
table of true against named classes does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ConversionError

# So unlikely by chance that no search over orders could find it in noise.
_CHANCE = 1e-6
# In a model that errs, no other order is right this many times as often on the classes it moves.
_TIMES = 4


def other_order(
    labels: NDArray[np.int64], named: NDArray[np.int64], classes: Sequence[str]
) -> Mapping[str, str]:
    """Return for each class that another order moves, by which name the model calls it; mostly empty.

    The order is the assignment of classes to names with the most hits (Kuhn 1955, the Hungarian
    method); it counts only if on the classes it moves it is right in most items, far more often than
    the order as it stands, and beyond chance (McNemar's test, exact).

    Args:
        labels: `(N,) int64` true classes.
        named: `(N,) int64` classes that the model names, in the order that it is believed to have.
        classes: Names, in that order.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binomtest

    table = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(table, (labels, named), 1)
    true, called = linear_sum_assignment(table, maximize=True)
    moved = true != called
    gained, kept = int(table[true, called][moved].sum()), int(table[true, true][moved].sum())
    believable = gained > _TIMES * kept and 2 * gained > table[true[moved]].sum()
    if not believable or binomtest(gained, gained + kept).pvalue > _CHANCE:
        return MappingProxyType({})
    return MappingProxyType(
        {classes[one]: classes[other] for one, other in zip(true[moved], called[moved], strict=True)}
    )


def shown_order(order: Mapping[str, str]) -> str:
    """Return an order for a message: `what it calls 'b' is 'a', 'c' is 'b' ...`."""
    pairs = [f"{called!r} is {true!r}" for true, called in order.items()]
    return f"what it calls {', '.join(pairs[:4])}{' ...' if len(pairs) > 4 else ''}"


def check_order(
    labels: NDArray[np.int64], named: NDArray[np.int64], classes: Sequence[str], who: str
) -> None:
    """Refuse a model whose classes are in another order than the data's; arguments as `other_order`.

    Raises:
        ConversionError: They are; names what is called what.
    """
    if order := other_order(labels, named, classes):
        raise ConversionError(
            f"the {who}'s classes are the data's in another order",
            found=f"{shown_order(order)}; it names {(labels == named).mean():.1%} of {len(labels)} items rightly",
            expected=f"the order {', '.join(classes[:8])}{' ...' if len(classes) > 8 else ''}",
            next_step="reorder its outputs, or name the class folders so that they sort as its classes do",
        )
