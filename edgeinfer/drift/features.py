"""The features that a manifest's drift reference declares, computed from what a model took and gave. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import (
    Feature,
    InputStatistic,
    Manifest,
    Measure,
    PredictedClass,
    Projection,
    Softmax,
    channel_order,
)
from edgeinfer.drift.binning import symbols_of
from edgeinfer.drift.statistics import statistic
from edgeinfer.preprocess import softmax

Array = NDArray[np.generic]


def feature_values(
    measure: Measure, manifest: Manifest, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> NDArray[np.float64]:
    """Return the number of each item of a batch.

    Args:
        measure: What to compute, as it stands in the manifest.
        manifest: Declares inputs and outputs; its answer's temperature gives the confidence.
        inputs: Preprocessed tensors by name, `(N, ...)`.
        outputs: The model's outputs for them by name, `(N, ...)`.

    Returns:
        `(N,) float64`; class indices are whole numbers.
    """
    if isinstance(measure, InputStatistic):
        declared = next(each for each in manifest.inputs if each.name == measure.input)
        last = channel_order(declared.preprocess) == "HWC"
        return statistic(measure.statistic, inputs[measure.input], measure.index, channels_last=last)
    if isinstance(measure, Projection):
        flat = outputs[measure.output].astype(np.float64).reshape(len(outputs[measure.output]), -1)
        projected: NDArray[np.float64] = flat @ np.asarray(measure.direction, np.float64)
        return projected
    answer = manifest.outputs[0]
    logits = outputs[answer.name].astype(np.float64)
    if isinstance(measure, PredictedClass):
        return np.where(np.isnan(logits).any(1), np.nan, logits.argmax(1).astype(np.float64))
    temperature = next((step.temperature for step in answer.postprocess if isinstance(step, Softmax)), 1.0)
    confidence: NDArray[np.float64] = softmax(logits, temperature).max(1)
    return confidence


def feature_symbols(
    feature: Feature, manifest: Manifest, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> NDArray[np.int64]:
    """Return the symbol of each item of a batch, 0 to `len(feature.counts) - 1`, -1 where it has none.

    Args:
        feature: One of the manifest's drift reference.
        manifest: As for `feature_values`.
        inputs: Likewise.
        outputs: Likewise.
    """
    values = feature_values(feature.measure, manifest, inputs, outputs)
    if not feature.groups:
        return symbols_of(values, feature.edges)
    missing = np.isnan(values)
    groups = np.asarray(feature.groups, np.int64)
    return np.where(missing, np.int64(-1), groups[np.where(missing, 0, values).astype(np.int64)])
