"""What the device will need later: cascade, confusion, drift reference, model card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.profile.cascade import learned_from, recommend, tabulate
from converters.profile.confusion import confusion_counts, per_class
from converters.profile.reference import freeze, input_measures, measures, principal_directions
from converters.recipe import Cascade as Wanted
from converters.recipe import Drift
from converters.verify.proportion import proportion
from edgeinfer.bundle import (
    BlobSet,
    Calibration,
    Cascade,
    Decode,
    Input,
    Output,
    PredictedClass,
    Projection,
    TopConfidence,
)
from edgeinfer.errors import ConversionError, GateError
from edgeinfer.testing import sample_manifest

CALIBRATED = Calibration("temperature", "validation", 6, 0.3, 0.2, 0.1, 0.05)
CONFIDENCE = np.array([0.55, 0.6, 0.7, 0.9, 0.95, 1.0])
STUDENT = np.array([False, True, False, True, False, True])
TEACHER = np.array([True, True, False, False, True, True])


def cascade(*thresholds: float) -> Cascade:
    points = tabulate(CONFIDENCE, STUDENT, TEACHER, thresholds, "validation")
    return Cascade(
        "validation", 6, "v", proportion(STUDENT, "validation"), proportion(TEACHER, "validation"), points
    )


def test_a_threshold_s_cost_and_gain_are_counted():
    nobody, some, most, everybody = cascade(0.0, 0.7, 0.95, 1.0).points
    assert (nobody.escalation.value, nobody.accuracy.value) == (0, 3 / 6)
    # An answer as confident as the threshold stays.
    assert (some.escalation.value, some.accuracy.value, some.kept_accuracy.value) == (2 / 6, 4 / 6, 2 / 4)
    assert (most.escalation.value, most.accuracy.value, most.kept_accuracy.n) == (4 / 6, 3 / 6, 2)
    assert (everybody.escalation.value, everybody.kept_accuracy.value) == (5 / 6, 1)
    above = tabulate(CONFIDENCE[:5], STUDENT[:5], TEACHER[:5], [1.0], "validation")[0]
    assert above.kept_accuracy is None
    assert above.accuracy.value == TEACHER[:5].mean()
    assert some.escalation.low < 2 / 6 < some.escalation.high


@given(st.integers(1, 200), st.integers(0, 10**6))
def test_a_higher_threshold_never_hands_on_less_and_the_ends_are_the_two_models(count, seed):
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.1, 0.99, count)
    student, teacher = generator.random(count) < 0.8, generator.random(count) < 0.9
    points = tabulate(confidence, student, teacher, np.linspace(0, 1, 11), "validation")
    shares = [point.escalation.value for point in points]
    assert shares == sorted(shares)
    assert points[0].accuracy.value == student.mean()
    assert points[-1].accuracy.value == teacher.mean()


@pytest.mark.parametrize(
    ("target", "most", "chosen"),
    [
        (None, None, None),
        (0.6, None, 0.7),
        (0.5, None, 0.0),
        (None, 0.5, 0.7),
        (0.5, 0.1, 0.0),
        (None, 1.0, 1.0),
    ],
)
def test_the_recipe_s_rule_chooses_a_threshold(target, most, chosen):
    found = recommend(cascade(0.0, 0.7, 0.95, 1.0), Wanted((), target, most), CALIBRATED)
    assert found.recommended == chosen
    assert bool(found.rule) == (chosen is not None)


@pytest.mark.parametrize(("target", "most"), [(0.9, None), (0.6, 0.1)])
def test_a_target_out_of_reach_names_the_best_and_the_knob(target, most):
    with pytest.raises(GateError) as caught:
        recommend(cascade(0.0, 0.7, 0.95), Wanted((), target, most), CALIBRATED)
    message = str(caught.value)
    assert f"an accuracy of {target}" in message
    assert "at best" in message
    assert "cascade.target_accuracy" in message


@pytest.mark.parametrize(
    ("validation", "test", "learned"),
    [(998, 902, True), (925, 902, False), (902, 902, False), (850, 902, False)],
)
def test_a_teacher_that_learned_from_the_validation_items_is_told_by_its_test_items(
    validation, test, learned
):
    shares = [proportion(np.arange(1000) < right, "test") for right in (validation, test)]
    assert learned_from(replace(cascade(0.5), teacher_accuracy=shares[0]), shares[1]) is learned


def test_without_calibration_there_is_no_cascade():
    with pytest.raises(ConversionError, match="cascade thresholds need calibrated confidence"):
        recommend(cascade(0.5), Wanted((0.5,)), None)


def test_confusion_is_counted_by_true_and_named_class():
    labels, named = np.array([0, 0, 1, 1, 1, 3]), np.array([0, 1, 1, 1, 2, 0])
    counts = confusion_counts(labels, named, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    shares = per_class(labels, named, ("a", "b", "c", "d"), "validation")
    assert {name: (share.value, share.n) for name, share in shares.items()} == {
        "a": (1 / 2, 2),
        "b": (2 / 3, 3),
        "d": (0, 1),
    }, "a class without items has no share"


def test_each_kind_of_input_has_its_statistics():
    grey = sample_manifest(BlobSet()).inputs[0]
    assert list(input_measures(grey)) == ["image.brightness", "image.contrast", "image.sharpness"]
    colour = replace(grey, shape=("batch", 3, 4, 4), preprocess=(Decode("RGB"), *grey.preprocess[1:]))
    assert list(input_measures(colour))[3:] == ["image.red", "image.green", "image.blue"]
    thin = replace(grey, shape=("batch", 1, 2, 9))
    assert "image.sharpness" not in input_measures(thin), "no pixel has four neighbours"
    row = Input("row", "float32", ("batch", 3), (), "")
    assert [(name, each.index) for name, each in input_measures(row).items()] == [
        ("row.0", 0),
        ("row.1", 1),
        ("row.2", 2),
    ]
    sound = Input("sound", "float32", ("batch", 40, 98), (), "")
    assert list(input_measures(sound)) == ["sound.level", "sound.spread", "sound.peak"]


def test_layers_that_a_variant_gives_are_projected_on_their_principal_directions():
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(500, 3)) * (1, 9, 3) + 5).astype(np.float32)
    first, second = principal_directions(values, 2)
    np.testing.assert_allclose(first, (0, 1, 0), atol=0.05)
    np.testing.assert_allclose(second, (0, 0, 1), atol=0.05)
    assert len(principal_directions(values, 9)) == 3
    manifest = sample_manifest(BlobSet())
    manifest = replace(manifest, outputs=(*manifest.outputs, Output("penultimate", "float32", ("batch", 3))))
    found = measures(manifest, {"penultimate": values}, Drift(projections=2))
    assert found["penultimate.1"] == Projection("penultimate", second)
    assert isinstance(found["confidence"], TopConfidence)


def test_bins_are_as_many_as_the_items_can_fill():
    values = np.random.default_rng(1).normal(size=100)
    feature = freeze("f", TopConfidence(), values, 3, 10)
    assert feature.counts == (20, 20, 20, 20, 20)
    assert len(freeze("f", TopConfidence(), values[:9], 3, 10).counts) == 2
    assert len(freeze("f", TopConfidence(), np.tile(values, 9), 3, 10).counts) == 10
    with pytest.raises(ConversionError, match="NaN or infinite for 1 of 3 items"):
        freeze("f", TopConfidence(), np.array([1, np.nan, 2]), 3, 10)


def test_many_classes_share_the_last_symbol():
    named = np.repeat(np.arange(12.0), np.arange(12, 0, -1))
    feature = freeze("c", PredictedClass(), named, 12, 10)
    assert feature.groups == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9)
    assert feature.counts == (12, 11, 10, 9, 8, 7, 6, 5, 4, 6)
    assert freeze("c", PredictedClass(), np.array([0.0, 2.0]), 3, 10).counts == (1, 0, 1)
