"""Whether two variants of a bundle answer alike, through the runtime that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import edgeinfer as ei
from edgeinfer.preprocess import overlaps

# What counts as the same thing found twice.
_SAME_IOU = 0.7


@dataclass(frozen=True)
class Agreement:
    """How alike two variants answer.

    Attributes:
        share: Answers in which they agree, of all.
        n: Answers: items, or for a detector things that either found.
        what: What was counted.
    """

    share: float
    n: int
    what: str


def classes_alike(ones: Sequence[ei.Prediction], others: Sequence[ei.Prediction]) -> Agreement:
    """Count the items for which both name the same class."""
    hits = sum(one.label == other.label for one, other in zip(ones, others, strict=True))
    return Agreement(hits / len(ones), len(ones), "items with the same class")


def things_alike(ones: Sequence[ei.Prediction], others: Sequence[ei.Prediction]) -> Agreement:
    """Count the things that both found, of those that either found: the same label, IoU of 0.7 or more."""
    both = either = 0
    for one, other in zip(ones, others, strict=True):
        found, left = one.detections or (), list(other.detections or ())
        matched = 0
        for thing in found:
            near = [each for each in left if same_thing(thing, each)]
            if near:
                left.remove(near[0])
                matched += 1
        both += matched
        either += len(found) + len(left)
    return Agreement(
        both / either if either else 1.0, either, f"things with the same label and IoU >= {_SAME_IOU}"
    )


def same_thing(one: ei.Detection, other: ei.Detection) -> bool:
    """Return whether two detections are one thing."""
    overlap = overlaps(np.array(one.box), np.array([other.box]))[0]
    return one.label == other.label and bool(overlap >= _SAME_IOU)


def values_alike(ones: Sequence[ei.Prediction], others: Sequence[ei.Prediction]) -> Agreement:
    """Return the mean cosine of the first outputs."""
    total = 0.0
    for one, other in zip(ones, others, strict=True):
        first, second = (
            next(iter(each.outputs.values())).astype(np.float64).ravel() for each in (one, other)
        )
        norms = float(np.linalg.norm(first) * np.linalg.norm(second))
        total += float(first @ second) / norms if norms > 0 else float(np.array_equal(first, second))
    return Agreement(total / len(ones), len(ones), "mean cosine of the first output")
