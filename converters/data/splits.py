"""Train, validation and test, told apart from the first line.

Invariants:
* equal content is always in one split, under whatever names it occurs;
* what is in a test set that the data gives is never trained on, even if it is given for training too;
* the same items, shares and seed give the same splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from edgeinfer.errors import DataError

Label = TypeVar("Label", str, int)
SPLITS = ("train", "validation", "test")


def split_items(
    digests: Sequence[str],
    labels: Sequence[Label],
    given: Sequence[str | None],
    *,
    validation: float,
    test: float,
    seed: int,
) -> list[str]:
    """Return the split of each item.

    Args:
        digests: Content digest per item.
        labels: Class per item: its name or index.
        given: Split that the data itself assigns, or None.
        validation: Share of the items not given as test, to validate on.
        test: Share of all items to test on, where none is given as test.
        seed: Seed of the shuffle.

    Raises:
        DataError: A class has no item left in one of the splits.
    """
    fixed: dict[str, str] = {}
    for split in reversed(SPLITS):
        for digest, own in zip(digests, given, strict=True):
            if own == split:
                fixed.setdefault(digest, split)
    # What the data gives as train still yields the splits that it does not give.
    if not {"validation", "test"} <= set(fixed.values()):
        fixed = {digest: split for digest, split in fixed.items() if split != "train"}
    shares = {"validation": validation if "validation" not in fixed.values() else 0.0}
    shares["test"] = test if "test" not in fixed.values() else 0.0
    assigned = dict(fixed)
    generator = np.random.default_rng(seed)
    for label in sorted(set(labels)):
        mine = zip(digests, labels, strict=True)
        free = sorted({digest for digest, own in mine if own == label and digest not in assigned})
        _deal(free, shares, generator, assigned)
    result = [assigned[digest] for digest in digests]
    _check_all_present(result, labels)
    return result


def _deal(
    free: list[str], shares: dict[str, float], generator: np.random.Generator, assigned: dict[str, str]
) -> None:
    order = [free[at] for at in generator.permutation(len(free))]
    in_test = round(len(order) * shares["test"])
    in_validation = round((len(order) - in_test) * shares["validation"])
    for at, digest in enumerate(order):
        if at < in_test:
            assigned[digest] = "test"
        elif at < in_test + in_validation:
            assigned[digest] = "validation"
        else:
            assigned[digest] = "train"


def _check_all_present(splits: Sequence[str], labels: Sequence[Label]) -> None:
    present = set(zip(splits, labels, strict=True))
    for split in SPLITS:
        missing = [str(label) for label in sorted(set(labels)) if (split, label) not in present]
        if missing:
            raise DataError(
                f"the {split} split lacks {len(missing)} of {len(set(labels))} classes",
                found="no distinct item left for " + ", ".join(missing[:8]),
                next_step="add items to the small classes, or change data.validation and data.test",
            )
