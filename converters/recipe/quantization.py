"""What the quantization section of a recipe names beside static int8: further variants, and training for int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Beside fp32, which is always there.
ModelVariant = Literal["int8", "fp16", "dynamic", "weight-only"]


@dataclass(frozen=True)
class Qat:
    """Quantization-aware training: the student goes on learning with every value on its int8 grid.

    The loss and the teacher's answers are the student's, without hints. AdamW without decay, one half of a
    cosine from the full rate to none.

    Attributes:
        epochs: Passes over the training items; a tenth of the student's is usual.
        learning_rate: Peak of the schedule; a tenth of the student's is usual.
        batch_size: Items a step.
        observe: Share of the steps in which activation ranges follow the data, before they are learned.
    """

    epochs: int
    learning_rate: float = 0.0004
    batch_size: int = 64
    observe: float = 0.2
