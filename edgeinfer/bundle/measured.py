"""Figures that a manifest states: shares with their intervals, times, evidence of calibration."""

from __future__ import annotations

from typing import Literal

from edgeinfer.frozen import frozen

Split = Literal["train", "validation", "test"]


@frozen
class Proportion:
    """A measured share with its 95% Wilson score interval.

    Attributes:
        value: Share in 0..1.
        low: Lower bound.
        high: Upper bound.
        n: Cases measured on.
        split: The part of the data they came from.
    """

    value: float
    low: float
    high: float
    n: int
    split: Split


@frozen
class Latency:
    """One call with batch 1, measured where the bundle was made: a hint, never a promise.

    Attributes:
        p50_us: Median in microseconds.
        engine: Engine package and version.
        threads: Threads given to the engine.
        machine: Processor it was measured on.
    """

    p50_us: float
    engine: str
    threads: int
    machine: str


@frozen
class Calibration:
    """Evidence that confidences mean what they say.

    Attributes:
        method: How they were calibrated.
        split: Data that it was fitted on; never train.
        n: Cases of that data.
        nll_before: Mean negative log likelihood at temperature 1, in nats.
        nll_after: The same at the fitted temperature.
        ece_before: Expected calibration error over 15 equal-width bins at temperature 1.
        ece_after: The same at the fitted temperature.
    """

    method: Literal["temperature"]
    split: Split
    n: int
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
