"""The quantization and gate sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantize:
    """Static int8.

    Attributes:
        calibration_items: Validation pictures whose value ranges are taken, chosen by the seed.
    """

    calibration_items: int = 200


@dataclass(frozen=True)
class Gates:
    """Limits; a conversion that misses one fails with the figures. Shares are in 0..1.

    Attributes:
        min_accuracy: Least test accuracy of every variant.
        max_int8_drop: Most that an int8 variant may lose to the fp32 student on the test split.
        min_parity: Least share of test pictures on which each fp32 variant names the class that the
            PyTorch student names.
        min_agreement: Least share on which each variant names the teacher's class.
        max_bytes: Most bytes of each int8 model file.
    """

    min_accuracy: float = 0.0
    max_int8_drop: float = 0.005
    min_parity: float = 1.0
    min_agreement: float = 0.0
    max_bytes: int | None = None
