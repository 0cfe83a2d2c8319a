"""The gates section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gates:
    """Limits; a conversion that misses one fails with the figures. Shares are in 0..1, of the test split.

    "int8" stands for every variant that is not fp32.

    Attributes:
        min_accuracy: Least accuracy of every variant.
        min_agreement: Least share on which each variant names the teacher's class.
        max_teacher_drop: Most accuracy that a variant may lose to the teacher.
        min_parity: Least share on which each fp32 variant names the class that the PyTorch student names.
        max_fp32_error: Largest difference of a logit of a fp32 variant from the PyTorch student's, as a
            share of the range of the student's logits.
        min_int8_parity: Least share on which each int8 variant names the PyTorch student's class.
        min_int8_agreement: Least share on which an ONNX and a TFLite file that were quantized from the
            same ranges name the same class.
        max_int8_drop: Most accuracy that an int8 variant may lose to the PyTorch student.
        max_int8_drop_bound: Most that it may lose by the one-sided 95% bound of the paired difference.
        max_bytes: Most bytes of each int8 model file.
        max_latency_us: Most microseconds (median, batch 1, one thread, here) of the fastest int8 variant
            of each format.
        max_latency_ratio: The same as a multiple of the fp32 variant of its format, timed in turn with it.
    """

    min_accuracy: float = 0.0
    min_agreement: float = 0.0
    max_teacher_drop: float | None = None
    min_parity: float = 1.0
    max_fp32_error: float = 0.001
    min_int8_parity: float = 0.95
    min_int8_agreement: float = 0.999
    max_int8_drop: float = 0.005
    max_int8_drop_bound: float | None = None
    max_bytes: int | None = None
    max_latency_us: float | None = None
    max_latency_ratio: float | None = None
