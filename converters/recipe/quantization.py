"""The quantization section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Beside fp32, which is always there.
ModelVariant = Literal["int8", "fp16", "dynamic", "weight-only"]
# Activations before weights: U for uint8, S for int8.
IntegerTypes = Literal["U8S8", "S8S8", "U8U8"]


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


@dataclass(frozen=True)
class Quantize:
    """Model files that are smaller than the float student's.

    Attributes:
        calibration: How a tensor's range follows from its values: all of them (`min-max`), the innermost
            share (`percentile`), or what loses the least information (`entropy`).
        percentile: That share, in percent.
        calibration_items: Validation items whose values are taken, chosen by the seed.
        per_channel: A scale for each output channel of the weights, not one a layer.
        onnx_types: Integer types to try for ONNX, activations before weights: U for uint8, S for int8.
        ship: How many of them to ship, the fastest here first.
        float_layers: Layers to keep in float; `auto` keeps those that bring back most, one more at a time,
            until validation loses at most `gates.max_int8_drop`.
        sensitivity_items: Validation items on which each layer's sensitivity is measured.
        variants: Files beside the fp32 ones: `int8` (static), `fp16`, and for networks of linear layers
            `dynamic` and `weight-only`.
        qat: Train the int8 files' weights and ranges; without it they are the student's own.
    """

    calibration: Literal["min-max", "percentile", "entropy"] = "min-max"
    percentile: float = 99.99
    calibration_items: int = 200
    per_channel: bool = True
    onnx_types: tuple[IntegerTypes, ...] = ("U8S8", "S8S8", "U8U8")
    ship: int = 1
    float_layers: str | tuple[str, ...] = ()
    sensitivity_items: int = 500
    variants: tuple[ModelVariant, ...] = ("int8",)
    qat: Qat | None = None
