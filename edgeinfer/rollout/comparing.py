"""Whether two models gave the same answer for the same item. Pure.

* Classes: the likeliest label is the same. The difference is that of the two confidences, the candidate's less the
  current's.
* Things in a picture: each thing that one found is matched with one of the other, of the same label and with an overlap
  (intersection over union) of at least a half, surest first; nobody's is left over. The difference is that of the
  surest scores.
* Anything else (a regression, an embedding, a mask): the largest absolute difference of any output is at most a
  tolerance times the largest absolute value of the current's. The difference is that ratio, below 1 at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import EngineRunError
from edgeinfer.frozen import frozen
from edgeinfer.inference import Detection, Prediction

_OVERLAP = 0.5


@frozen
class Comparison:
    """Two answers beside one another.

    Attributes:
        agreed: Whether they are the same.
        difference: -1..1 as above, or None where neither has a confidence.
        current_ns: How long the run of the model that serves took.
        candidate_ns: How long the candidate's took, at the lowest priority.
    """

    agreed: bool
    difference: float | None
    current_ns: int
    candidate_ns: int


def compared(current: Prediction, candidate: Prediction, tolerance: float) -> Comparison:
    """Compare two answers.

    Args:
        current: Of the model that serves.
        candidate: Of the other, for the same item.
        tolerance: For outputs that are neither classes nor things.

    Raises:
        EngineRunError: The candidate's outputs are not finite, or not those that the current one has.
    """
    agreed, difference = _difference(current, candidate, tolerance)
    times = (round(each.timings.run_ms * 1e6) for each in (current, candidate))
    return Comparison(agreed, difference, *times)


def _difference(current: Prediction, candidate: Prediction, tolerance: float) -> tuple[bool, float | None]:
    if current.confidence is not None and candidate.confidence is not None:
        return current.label == candidate.label, candidate.confidence - current.confidence
    if current.detections is not None and candidate.detections is not None:
        ours, theirs = current.detections, candidate.detections
        surest = candidate.detections[0].score - ours[0].score if ours and theirs else None
        return _matched(ours, theirs), surest
    ratio = _ratio(current, candidate)
    return ratio <= tolerance, min(ratio, 1.0)


def _matched(ours: Sequence[Detection], theirs: Sequence[Detection]) -> bool:
    left = list(theirs)
    for one in ours:
        match = next(
            (each for each in left if each.label == one.label and _overlap(one, each) >= _OVERLAP), None
        )
        if match is None:
            return False
        left.remove(match)
    return not left


def _overlap(one: Detection, other: Detection) -> float:
    """Return intersection over union; boxes that were found have an area."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = one.box, other.box
    width, height = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    common = max(0.0, width) * max(0.0, height)
    return common / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - common)


def _ratio(current: Prediction, candidate: Prediction) -> float:
    worst = 0.0
    for name, ours in current.outputs.items():
        theirs = candidate.outputs.get(name)
        if theirs is None or theirs.shape != ours.shape:
            raise EngineRunError(
                f"output {name} of a candidate",
                found="nothing" if theirs is None else theirs.shape,
                expected=ours.shape,
            )
        if not np.isfinite(theirs).all():
            raise EngineRunError(f"output {name} of a candidate has NaN or infinite values")
        most = float(np.abs(ours.astype(np.float64)).max(initial=0.0))
        apart = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max(initial=0.0))
        worst = max(worst, apart / most if most else float(apart > 0))
    return worst
