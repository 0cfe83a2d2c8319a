"""Which integer types an ONNX file should use: the fastest here, by measurement.

U8S8, S8S8 and U8U8 compute the same integers with other kernels, and which kernels a processor is
fast at is not to be known beforehand: twofold differences were seen, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.json_file import load_json
from converters.recipe import IntegerTypes
from edgeinfer.errors import ConversionError
from edgeinfer.inference import measure

# Name of the file that the quantize step gives.
INTEGER_TYPES = "integer-types.json"
# Types that are this much slower than the fastest count as equal to it; the recipe's order then
# decides, so that noise does not.
_EQUAL = 1.10
_ROUNDS = 3
_SECONDS = 0.1


@dataclass(frozen=True)
class TypeFigures:
    """One choice of integer types.

    Attributes:
        types: Activations before weights.
        bytes: Size of the file as it would ship.
        float_layers: Layers that run in float here although they should not.
        p50_us: Median time of one run, batch 1, one thread; None where it was the only choice.
        shipped: Whether it is in the bundle.
    """

    types: IntegerTypes
    bytes: int
    float_layers: tuple[str, ...]
    p50_us: float | None = None
    shipped: bool = False


@dataclass(frozen=True)
class TypesTried:
    """All choices, in the order of the recipe."""

    types: tuple[TypeFigures, ...]


def timed(figures: Sequence[TypeFigures], bundle: Path, ids: Sequence[str]) -> list[TypeFigures]:
    """Return the figures with the time of one run, each in a process of its own, by turns.

    Args:
        figures: Choices.
        bundle: A bundle that holds them.
        ids: Their variants in it.
    """
    rounds = [
        [measure(bundle, each, "onnxruntime", seconds=_SECONDS).p50_us for each in ids]
        for _ in range(_ROUNDS)
    ]
    return [
        replace(each, p50_us=min(times))
        for each, times in zip(figures, zip(*rounds, strict=True), strict=True)
    ]


def fastest(figures: Sequence[TypeFigures], ship: int) -> list[TypeFigures]:
    """Return the choices to ship, the best first: whole in int8, then fast, then early in the recipe.

    Args:
        figures: Measured choices, in the order of the recipe.
        ship: How many at most.

    Raises:
        ConversionError: Every choice leaves a layer in float that should be in int8.
    """
    rest = [each for each in figures if not each.float_layers]
    if not rest:
        first = figures[0]
        raise ConversionError(
            f"layer {first.float_layers[0]} does not run in int8 with {first.types}",
            found="float, read from ONNX Runtime's optimized graph",
            expected="int8 with one of quantize.onnx_types",
            next_step="add U8S8 to quantize.onnx_types, or the layer to quantize.float_layers",
        )
    chosen: list[TypeFigures] = []
    while rest and len(chosen) < ship:
        least = min(each.p50_us or 0.0 for each in rest)
        best = next(each for each in rest if (each.p50_us or 0.0) <= least * _EQUAL)
        rest.remove(best)
        chosen.append(best)
    return chosen


def load_types(path: Path) -> tuple[TypeFigures, ...]:
    """Return what the quantize step wrote."""
    return load_json(TypesTried, path).types
