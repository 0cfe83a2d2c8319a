"""The calibrate step: a temperature that makes confidences mean what they say, fitted on validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.dataset import load_record, load_split
from converters.distill.student import load_student
from converters.distill.training import logits
from converters.json_file import load_json, save_json
from converters.steps import Context, Step
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
    network = load_student(recipe, len(record.classes), context.needs["student.pt"])
    given, labels = logits(network, validation, Preprocessor(recipe.input.steps())), validation.labels
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
    ("items.npy", "splits.npz", "data.json", "student.pt"),
    ("calibration.json",),
    lambda recipe: {"input": encode(recipe.input)},
    _run,
)
