"""What an answer says: what it is, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from edgeinfer.engines.seam import Array
from edgeinfer.frozen import frozen


@frozen
class LabelScore:
    """One class and how likely it is.

    Attributes:
        label: Name of the class; its index as text where the bundle has no labels.
        index: Position along the output's last axis.
        confidence: Probability in 0..1, calibrated if the bundle says so.
    """

    label: str
    index: int
    confidence: float


@frozen
class Detection:
    """One thing that was found in a picture.

    Attributes:
        label: Name of its class; the class's index as text where the bundle has no labels.
        index: Position along the last axis of the scores.
        score: The model's score, 0..1.
        box: x0, y0, x1, y1 in pixels of the picture, upright as EXIF says, clipped to it; in pixels of
            the model's input where a tensor was handed in.
    """

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]


@frozen
class Timings:
    """Where the time of one prediction went, in milliseconds."""

    preprocess_ms: float
    run_ms: float
    postprocess_ms: float


Source = Literal["device", "cloud", "cache", "default"]


@frozen
class Attempt:
    """One try to get an answer.

    Attributes:
        where: What was asked.
        outcome: `answered`, or what went wrong.
        ms: How long it took, in milliseconds.
        requests: Requests sent for it, questions about the server included.
        sent_bytes: Length of their bodies.
    """

    where: Literal["device", "cloud", "cache"]
    outcome: str
    ms: float
    requests: int = 0
    sent_bytes: int = 0


@frozen
class Prediction:
    """One answer.

    Attributes:
        label: The likeliest class, or None for a model that does not classify.
        confidence: Its probability in 0..1, or None likewise.
        top: The likeliest classes, likeliest first.
        detections: What was found in the picture, surest first, or None for a model that does not detect.
        outputs: The model's outputs by name, each with a batch axis of 1.
        source: Where the answer is from: this `device`, the `cloud`, a `cache` of earlier answers, or a `default` that
            was declared for when there is none.
        reason: Why this source and this variant.
        variant: Id of the variant that answered; the server's name of the model for the cloud; empty for a default.
        engine: Engine package and version that ran it; the server for the cloud; empty for a default.
        bundle: Digest of the bundle.
        latency_ms: Time from the call to the answer.
        timings: Its parts.
        attempts: What was tried, in order; `Model.predict` leaves it empty, since there is one way.
        deferred: Number under which the case waits for the cloud, or None.
    """

    label: str | None
    confidence: float | None
    top: tuple[LabelScore, ...]
    detections: tuple[Detection, ...] | None
    outputs: Mapping[str, Array] = field(repr=False)
    source: Source
    reason: str
    variant: str
    engine: str
    bundle: str = field(repr=False)
    latency_ms: float
    timings: Timings = field(repr=False)
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    deferred: str | None = field(default=None, repr=False)
