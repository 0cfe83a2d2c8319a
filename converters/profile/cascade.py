"""Cascade thresholds: the student answers where it is confident, the teacher elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters import recipe
from converters.verify.proportion import proportion, shown
from edgeinfer.bundle import Calibration, Cascade, CascadePoint, Proportion, Split
from edgeinfer.errors import ConversionError, GateError

Hits = NDArray[np.bool_]


def tabulate(
    confidence: NDArray[np.float64], student: Hits, teacher: Hits, thresholds: Sequence[float], split: Split
) -> tuple[CascadePoint, ...]:
    """Return what each threshold costs and gains.

    Args:
        confidence: `(N,) float64`, calibrated, of the student's answers.
        student: `(N,) bool`, where the student is right.
        teacher: `(N,) bool`, where the teacher is right.
        thresholds: Ascending; an answer less confident than one goes to the teacher.
        split: Where the items are from.
    """
    points = []
    for threshold in thresholds:
        stays = confidence >= threshold
        points.append(
            CascadePoint(
                threshold=float(threshold),
                escalation=proportion(~stays, split),
                accuracy=proportion(np.where(stays, student, teacher), split),
                kept_accuracy=proportion(student[stays], split) if stays.any() else None,
            )
        )
    return tuple(points)


def learned_from(cascade: Cascade, test: Proportion) -> bool:
    """Return whether the teacher seems to have learned from the items that the cascade was measured on.

    Its 95% intervals on them and on the test items then lie apart, the latter below.

    Args:
        cascade: Measured on validation items.
        test: The teacher's share of right answers on the test items.
    """
    return cascade.teacher_accuracy.low > test.high


def recommend(cascade: Cascade, wanted: recipe.Cascade, calibration: Calibration | None) -> Cascade:
    """Return the cascade with the threshold that the recipe's rule chooses, if it has one.

    The choice is by the measured shares themselves, not by the ends of their intervals.

    Raises:
        ConversionError: The confidence is not calibrated: a threshold on it would mean nothing.
        GateError: No threshold does what the recipe asks.
    """
    if calibration is None:
        raise ConversionError(
            "cascade thresholds need calibrated confidence",
            found="a model without calibration",
            next_step="give labelled validation data, or leave out [cascade]",
        )
    target, most = wanted.target_accuracy, wanted.max_escalation
    if target is None and most is None:
        return cascade
    fitting = [
        point
        for point in cascade.points
        if (target is None or point.accuracy.value >= target)
        and (most is None or point.escalation.value <= most)
    ]
    if not fitting:
        raise _none_fits(cascade, target, most)
    asked = [f"an accuracy of at least {target:g}"] if target is not None else []
    asked += [f"at most {most:g} of the answers handed on"] if most is not None else []
    which = "largest" if target is None else "least"
    chosen = fitting[-1 if target is None else 0]
    rule = f"the {which} of the thresholds with {' and '.join(asked)} on the {cascade.split} split"
    return replace(cascade, recommended=chosen.threshold, rule=rule)


def _none_fits(cascade: Cascade, target: float | None, most: float | None) -> GateError:
    allowed = [point for point in cascade.points if most is None or point.escalation.value <= most]
    best = max(allowed, key=lambda point: point.accuracy.value, default=None)
    found = "none that hands on so few"
    if best is not None:
        found = (
            f"at best {shown(best.accuracy)}, handing on {best.escalation.value:.1%} at {best.threshold:g}"
        )
    expected = [f"an accuracy of {target:g}"] if target is not None else []
    expected += [f"an escalation of at most {most:g}"] if most is not None else []
    return GateError(
        "step profile: no threshold under [cascade] does what is asked",
        found=f"{found}; the teacher alone {shown(cascade.teacher_accuracy)}, the student alone "
        f"{shown(cascade.student_accuracy)}",
        expected=" with ".join(expected),
        next_step="change cascade.target_accuracy, cascade.max_escalation or cascade.thresholds",
    )
