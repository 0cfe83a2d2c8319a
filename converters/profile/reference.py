"""The drift reference: which features a model has, their frozen bins and their counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.recipe import Drift
from edgeinfer.bundle import (
    Decode,
    Feature,
    Input,
    InputStatistic,
    Manifest,
    Measure,
    PredictedClass,
    Projection,
    TopConfidence,
)
from edgeinfer.drift import count_symbols, freeze_edges, group_classes, symbols_of
from edgeinfer.errors import ConversionError

# A bin of fewer items than this says little of how often it should be hit.
_LEAST_PER_BIN = 20
# A wide table has more columns than telemetry could ever ask for, one report a window.
_MOST_ELEMENTS = 40
_LEAST_SIDE = 3


def input_measures(declared: Input) -> dict[str, InputStatistic]:
    """Return the statistics of an input by feature name, as its kind suggests.

    Pictures have brightness, contrast, sharpness and, in colour, the mean of each channel; vectors each
    of their first 40 values; anything else its level, spread and peak.
    """
    name = declared.name
    lengths = [axis for axis in declared.shape[1:] if isinstance(axis, int)]
    if declared.preprocess and isinstance(declared.preprocess[0], Decode):
        return _of_pictures(name, lengths, 3 if declared.preprocess[0].color == "RGB" else 1)
    if len(lengths) == 1:
        return {
            f"{name}.{at}": InputStatistic(name, "element", at)
            for at in range(min(lengths[0], _MOST_ELEMENTS))
        }
    return {
        f"{name}.level": InputStatistic(name, "mean"),
        f"{name}.spread": InputStatistic(name, "deviation"),
        f"{name}.peak": InputStatistic(name, "maximum"),
    }


def _of_pictures(name: str, lengths: Sequence[int], channels: int) -> dict[str, InputStatistic]:
    found = {
        f"{name}.brightness": InputStatistic(name, "mean"),
        f"{name}.contrast": InputStatistic(name, "contrast"),
    }
    sides = sorted(lengths)[-2:]
    if min(sides) >= _LEAST_SIDE:
        found[f"{name}.sharpness"] = InputStatistic(name, "sharpness")
    if channels == 3:
        found |= {
            f"{name}.{colour}": InputStatistic(name, "channel_mean", at)
            for at, colour in enumerate(("red", "green", "blue"))
        }
    return found


def principal_directions(values: NDArray[np.float32], count: int) -> list[tuple[float, ...]]:
    """Return the directions of largest variance, each of unit length, largest first.

    Args:
        values: `(N, ...)`, what a layer gave for the held-out items: D values each.
        count: How many; no more than D are returned.

    Returns:
        Principal components (Pearson 1901), the largest entry of each positive so that they are unique,
        rounded to six digits.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    centred = flat - flat.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    found = []
    for vector in vectors.T[::-1][:count]:
        turned = vector * np.sign(vector[np.abs(vector).argmax()])
        found.append(tuple(float(f"{value:.6g}") for value in turned))
    return found


def measures(
    manifest: Manifest, outputs: Mapping[str, NDArray[np.float32]], how: Drift
) -> dict[str, Measure]:
    """Return every feature's measure by name.

    Args:
        manifest: With the temperature that calibrates the confidence.
        outputs: The model's outputs for the held-out items by name; those behind the first are layers
            that the recipe asked for.
        how: The recipe's wishes.
    """
    found: dict[str, Measure] = {}
    for declared in manifest.inputs:
        found |= input_measures(declared)
    found |= {"predicted_class": PredictedClass(), "confidence": TopConfidence()}
    for output in manifest.outputs[1:] if how.projections else ():
        directions = principal_directions(outputs[output.name], how.projections)
        found |= {
            f"{output.name}.{at}": Projection(output.name, direction)
            for at, direction in enumerate(directions)
        }
    return found


def freeze(name: str, measure: Measure, values: NDArray[np.float64], classes: int, most: int) -> Feature:
    """Return a feature with its bins frozen and the held-out items counted.

    Args:
        name: Name of the feature.
        measure: How its number is computed.
        values: `(N,) float64`, that number for each held-out item.
        classes: Classes of the answer.
        most: Most symbols; fewer are taken where there would be under 20 items in a bin.

    Raises:
        ConversionError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ConversionError(
            f"feature {name} of the drift reference",
            found=f"NaN or infinite for {int((~np.isfinite(values)).sum())} of {len(values)} items",
            expected="numbers",
            next_step="look at the validation items and at the model's answers for them",
        )
    if isinstance(measure, PredictedClass):
        named = values.astype(np.int64)
        groups = group_classes(np.bincount(named, minlength=classes), most)
        counts = count_symbols(np.asarray(groups, np.int64)[named], max(groups) + 1)
        return Feature(name, measure, counts, groups=groups)
    edges = freeze_edges(values, max(2, min(most, len(values) // _LEAST_PER_BIN)))
    return Feature(name, measure, count_symbols(symbols_of(values, edges), len(edges) + 1), edges=edges)
