"""The sections of a recipe on what the device will need later, and on the model card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drift:
    """The drift reference.

    Attributes:
        symbols: Most bins of a feature, 2 to 10.
        projections: How many principal directions of the penultimate layer become features.
    """

    symbols: int = 10
    projections: int = 0


@dataclass(frozen=True)
class Cascade:
    """Handing unsure answers to the teacher; shares are in 0..1.

    Attributes:
        thresholds: Confidences to tabulate, ascending: answers below one would go to the teacher.
        target_accuracy: Recommend the least threshold whose cascade is this accurate.
        max_escalation: Most answers that may go; alone, recommend the largest threshold that keeps it.
    """

    thresholds: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
    target_accuracy: float | None = None
    max_escalation: float | None = None


@dataclass(frozen=True)
class Card:
    """What the model card says that nobody can measure.

    Attributes:
        data_name: What the data is called.
        data_origin: Where it comes from, who made it and how.
        data_licence: Under which terms.
        out_of_scope: What the model is not for.
        limitations: Known limits, a sentence each.
        contact: Whom to ask.
    """

    data_name: str = ""
    data_origin: str = ""
    data_licence: str = ""
    out_of_scope: str = ""
    limitations: tuple[str, ...] = ()
    contact: str = ""
