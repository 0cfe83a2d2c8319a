"""Wilson intervals, gates, calibration, distillation: against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from converters.recipe import Gates
from converters.verify.confidence import expected_calibration_error, fit_temperature, negative_log_likelihood
from converters.verify.figures import Figures, Reference, VariantFigures, proportion
from converters.verify.gate import judge
from edgeinfer.bundle import Latency, Proportion


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (10, 10), (589, 599), (50, 100)])
def test_the_interval_is_wilson_s(hits, total):
    got = proportion(np.arange(total) < hits)
    z, share = 1.959963984540054, hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    assert got.value == share
    assert (got.low, got.high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-9)


def variant(
    name: str, precision: str, *, accuracy: float = 0.98, parity: float = 1.0, size: int = 10
) -> VariantFigures:
    share = Proportion(accuracy, 0, 1, 100, "test")
    latency = Latency(1.0, "e 1", 1, "m")
    return VariantFigures(name, precision, "e 1", size, share, share, parity, 0.0, 1.0, latency, 1.0)


def figures(*variants: VariantFigures) -> Figures:
    share = Proportion(0.98, 0, 1, 100, "test")
    return Figures(share, 100, share, 5, variants, 1.0)


def missed(given: Figures, **gates: object) -> list[tuple[str, str, float]]:
    return [
        (each.gate, each.subject, each.measured) for each in judge(given, Gates(**gates)) if not each.passed
    ]


def test_limits_that_are_kept_pass():
    assert not missed(figures(variant("f", "fp32"), variant("i", "int8")), min_accuracy=0.98, max_bytes=10)


def test_every_limit_that_is_missed_is_told_with_its_figure():
    given = figures(variant("f", "fp32", parity=0.999), variant("i", "int8", accuracy=0.97, size=11))
    assert missed(given, min_accuracy=0.975, min_agreement=0.975, max_bytes=10) == [
        ("min_parity", "f", 0.999),
        ("min_accuracy", "i", 0.97),
        ("min_agreement", "i", 0.97),
        ("max_int8_drop", "i", pytest.approx(0.01)),
        ("max_bytes", "i", 11),
    ]


def test_an_int8_variant_that_gains_passes():
    assert not missed(figures(variant("i", "int8", accuracy=0.99)))


def test_comparing_logits():
    student = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]], np.float32)
    given = np.array([[1.5, 1.0], [2.0, 1.0], [5.0, 1.0]], np.float32)
    reference = Reference(np.array([0, 1, 1]), np.array([0, 0, 0]), student)
    compared = reference.compare(given)
    assert compared["accuracy"].value == pytest.approx(1 / 3)
    assert compared["agreement"].value == 1.0
    assert compared["parity"] == pytest.approx(2 / 3)
    assert (compared["largest_difference"], compared["logit_range"]) == (2.0, 4.0)


def overconfident(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for the labels drawn from them."""
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (20_000, 4))
    shares = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = (shares.cumsum(1) > generator.random((len(shares), 1))).argmax(1)
    return (honest * temperature).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_logits_overconfident_is_found(temperature):
    logits, labels = overconfident(temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(temperature, rel=0.05)
    assert expected_calibration_error(logits, labels, fitted) < 0.015
    assert negative_log_likelihood(logits, labels, fitted) <= negative_log_likelihood(logits, labels, 1.0)


def test_calibration_error_by_hand():
    # Confidence 0.9 and 0.6; one of two right in the first bin, all right in the second.
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], np.float32))
    error = expected_calibration_error(logits, np.array([0, 1, 1]), 1.0)
    assert error == pytest.approx((abs(1 - 1.8) + abs(1 - 0.6)) / 3, abs=1e-6)
