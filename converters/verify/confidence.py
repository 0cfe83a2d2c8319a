"""The calibrate step: a temperature that makes confidences mean what they say, fitted on validation.

It is fitted to the bundle's first variant as the runtime runs it: after training for int8 that is another
network than the student.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.dataset import load_record, load_split
from converters.export.artifacts import MODELS, load_artifacts
from converters.json_file import load_json, save_json
from converters.quiet import logged
from converters.steps import Context, Step
from converters.verify.answers import class_logits
from edgeinfer.bundle import Calibration, encode
from edgeinfer.preprocess import Preprocessor, softmax

BINS = 15
# A temperature beyond this says that the network is broken, not that it is overconfident.
_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Fitted:
    """What the step made."""

    temperature: float
    calibration: Calibration


def negative_log_likelihood(
    given: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> float:
    """Return the mean of `-ln p(label)` in nats."""
    own = softmax(given, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, 1e-300)).mean())


def expected_calibration_error(
    given: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> float:
    """Return the gap between confidence and accuracy over equal-width bins (Guo et al. 2017, eq. 3)."""
    probabilities = softmax(given, temperature)
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(hit[bins == at].sum() - confidence[bins == at].sum()) for at in range(BINS)]
    return float(sum(gaps) / len(labels))


def fit_temperature(given: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature with the least negative log likelihood (Guo et al. 2017, section 4.2)."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(given, labels, math.exp(logarithm)),
        bounds=tuple(math.log(limit) for limit in _RANGE),
        method="bounded",
    )
    return float(math.exp(found.x))


def load_fitted(path: Path) -> Fitted:
    """Return what the calibrate step wrote."""
    return load_json(Fitted, path)


def _run(context: Context) -> None:
    recipe, record = context.recipe, load_record(context.needs)
    validation = load_split(context.needs, "validation")
    first = load_artifacts(context.needs[MODELS])[0]
    tensors = Preprocessor(recipe.input.steps()).tensors(validation.items)
    with logged(context.scratch / "calibrate.log"):
        given = class_logits(context.needs["draft.eib"], first.id, tensors, record.classes)
    labels = validation.labels
    temperature = round(fit_temperature(given, labels), 4)
    fitted = Fitted(
        temperature,
        Calibration(
            method="temperature",
            split="validation",
            n=len(labels),
            nll_before=negative_log_likelihood(given, labels, 1.0),
            nll_after=negative_log_likelihood(given, labels, temperature),
            ece_before=expected_calibration_error(given, labels, 1.0),
            ece_after=expected_calibration_error(given, labels, temperature),
        ),
    )
    save_json(fitted, context.give("calibration.json"))


CALIBRATE = Step(
    "calibrate",
    ("items.npy", "splits.npz", "data.json", "draft.eib", MODELS),
    ("calibration.json",),
    lambda recipe: {"input": encode(recipe.input)},
    _run,
)
