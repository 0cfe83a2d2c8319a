"""When two answers are the same: classes, things in a picture, and any other outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import EngineRunError
from edgeinfer.inference import Detection, Prediction, Timings
from edgeinfer.rollout.comparing import Comparison, compared

SQUARE = (0.0, 0.0, 10.0, 10.0)


def said(
    label: str | None = None,
    confidence: float | None = None,
    things: Any = None,
    ms: float = 1.0,
    **outputs: Any,
) -> Prediction:
    arrays = {name: np.asarray(each, np.float32)[None] for name, each in outputs.items()}
    return Prediction(
        label, confidence, (), things, arrays, "device", "", "v", "e", "d", ms, Timings(0.0, ms, 0.0)
    )


def thing(label: str, score: float, box: tuple[float, float, float, float] = SQUARE) -> Detection:
    return Detection(label, 0, score, box)


def shifted(by: float) -> tuple[float, float, float, float]:
    return (by, 0.0, 10.0 + by, 10.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed", "difference"),
    [
        (said("cat", 0.9), said("cat", 0.7), True, -0.2),
        (said("cat", 0.5), said("dog", 0.8), False, 0.3),
        (said("cat", 0.5), said("Cat", 0.5), False, 0.0),
        (said(things=()), said(things=()), True, None),
        (said(things=(thing("a", 0.9),)), said(things=()), False, None),
        (said(things=()), said(things=(thing("a", 0.9),)), False, None),
        (said(things=(thing("a", 0.9),)), said(things=(thing("a", 0.8),)), True, -0.1),
        (said(things=(thing("a", 0.9),)), said(things=(thing("b", 0.9),)), False, 0.0),
        # Shifted by a third of its width two squares share half of their union; by more less.
        (said(things=(thing("a", 0.9),)), said(things=(thing("a", 0.9, shifted(3.3)),)), True, 0.0),
        (said(things=(thing("a", 0.9),)), said(things=(thing("a", 0.9, shifted(3.4)),)), False, 0.0),
        (said(things=(thing("a", 0.9),)), said(things=(thing("a", 0.9, shifted(50.0)),)), False, 0.0),
        (said(things=(thing("a", 0.9),)), said(things=(thing("a", 0.9), thing("a", 0.8))), False, 0.0),
        (
            said(things=(thing("a", 0.9), thing("b", 0.8, shifted(50.0)))),
            said(things=(thing("b", 0.9, shifted(50.0)), thing("a", 0.8))),
            True,
            0.0,
        ),
        (said(y=[1.0, -2.0]), said(y=[1.1, -2.0]), True, 0.05),
        (said(y=[1.0, -2.0]), said(y=[1.2, -2.0]), False, 0.1),
        (said(y=[1.0], z=[4.0]), said(y=[1.0], z=[0.0]), False, 1.0),
        (said(y=[1.0]), said(y=[9.0]), False, 1.0),
        (said(y=[0.0]), said(y=[0.0]), True, 0.0),
        (said(y=[0.0]), said(y=[1e-9]), False, 1.0),
        (said(y=[]), said(y=[]), True, 0.0),
        (said(y=[1.0]), said(y=[1.0], more=[3.0]), True, 0.0),
    ],
)
def test_agreement_and_difference(ours, theirs, agreed, difference):
    found = compared(ours, theirs, 0.05 + 1e-6)
    assert found.agreed is agreed
    assert found.difference == (None if difference is None else pytest.approx(difference, abs=1e-6))


def test_both_times_are_told():
    assert compared(said("a", 0.5, ms=1.5), said("a", 0.5, ms=2.5), 0.0) == Comparison(
        True, 0.0, 1_500_000, 2_500_000
    )


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (said(y=[1.0, 2.0]), r"output y of a candidate: expected \(1, 1\), found \(1, 2\)"),
        (said(z=[1.0]), "found nothing"),
        (said(y=[np.nan]), "NaN or infinite"),
        (said(y=[np.inf]), "NaN or infinite"),
        (said(things=()), "found nothing"),
    ],
)
def test_outputs_that_cannot_be_compared_are_a_failure_of_the_candidate(theirs, message):
    with pytest.raises(EngineRunError, match=message):
        compared(said(y=[1.0]), theirs, 0.05)


def test_whole_numbers_are_compared_as_numbers():
    ours, theirs = said(), said()
    ours.outputs["y"], theirs.outputs["y"] = (np.array([[each]], np.uint8) for each in (1, 255))
    assert compared(ours, theirs, 0.05).difference == 1.0
