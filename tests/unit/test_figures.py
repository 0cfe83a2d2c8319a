"""Wilson intervals, answers, calibration, distillation: against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from converters.export.artifacts import Artifact
from converters.verify.answers import Answers, label_columns, load_answers, write_answers
from converters.verify.confidence import expected_calibration_error, fit_temperature, negative_log_likelihood
from converters.verify.figures import Agreement, int8_agreements, proportion, variant_figures
from converters.verify.timing import Timing
from edgeinfer.bundle import Latency
from edgeinfer.errors import ConversionError


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (10, 10), (589, 599), (50, 100)])
def test_the_interval_is_wilson_s(hits, total):
    got = proportion(np.arange(total) < hits)
    z, share = 1.959963984540054, hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    assert got.value == share
    assert (got.low, got.high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-9)


def answers(**variants: np.ndarray) -> Answers:
    student = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]], np.float32)
    teacher = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0]], np.float32)
    return Answers(np.array([0, 1, 1]), teacher, student, variants)


def test_figures_of_a_variant_follow_from_the_answers():
    given = np.array([[1.5, 1.0], [2.0, 1.0], [5.0, 1.0]], np.float32)
    timing = Timing("f", Latency(7.0, "e 1", 1, "m"), 8.0, 1.0)
    got = variant_figures(
        Artifact("f", "f.onnx", "onnx", "fp32", "onnxruntime"), 10, answers(f=given), timing
    )
    assert got.accuracy.value == pytest.approx(1 / 3)
    assert got.agreement.value == 1.0
    assert got.parity == pytest.approx(2 / 3)
    assert (got.largest_difference, got.logit_range) == (2.0, 4.0)
    assert (got.drop.first_only, got.drop.second_only, got.drop.difference) == (1, 0, pytest.approx(1 / 3))
    assert (got.teacher_drop.first_only, got.teacher_drop.second_only) == (0, 0)
    assert (got.latency.p50_us, got.bytes) == (7.0, 10)


def test_only_files_of_the_same_ranges_must_agree():
    one, other = (
        np.array([[1, 0], [1, 0], [1, 0]], np.float32),
        np.array([[1, 0], [0, 1], [1, 0]], np.float32),
    )
    artifacts = [
        Artifact("o", "o", "onnx", "int8", "onnxruntime", "static"),
        Artifact("t", "t", "tflite", "int8", "litert", "static"),
        Artifact("w", "w", "tflite", "int8", "litert", "weight-only"),
        Artifact("f", "f", "tflite", "fp32", "litert"),
    ]
    given = answers(o=one, t=other, w=one, f=one)
    assert int8_agreements(artifacts, given) == (Agreement("o", "t", pytest.approx(2 / 3)),)


def test_answers_come_back_as_they_were_written(tmp_path):
    written = answers(**{"onnx-int8": np.eye(3, 2, dtype=np.float32)})
    for name in ("a.npz", "b.npz"):
        write_answers(tmp_path / name, written)
    read = load_answers(tmp_path / "a.npz")
    assert list(read.variants) == ["onnx-int8"]
    assert read.hits(read.variants["onnx-int8"]).tolist() == [True, True, False]
    for name in ("labels", "teacher", "student"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_columns_are_found_by_name():
    assert label_columns(["b", "c", "a"], ["a", "b", "c"]) == [2, 0, 1]
    with pytest.raises(ConversionError, match="background"):
        label_columns(["background", "a", "b"], ["a", "b", "c"])


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
