"""What goes wrong, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.report.mistakes import confusions, find_flips, find_mistakes, margin
from converters.report.reliability import confidence_bins
from converters.verify.answers import Answers

CLASSES = ("cat", "dog", "owl")


def logits(*named: int, sure: float = 4.0) -> np.ndarray:
    """Logits that name these classes."""
    return np.eye(len(CLASSES), dtype=np.float32)[list(named)] * sure


def answers() -> Answers:
    """Six items: the student errs in two, its int8 file in three, its teacher in one of them."""
    labels = np.array([0, 0, 1, 1, 2, 2])
    return Answers(
        labels=labels,
        teacher=logits(0, 0, 1, 1, 2, 0),
        student=logits(0, 1, 1, 1, 2, 1),
        variants={
            "tflite-int8": logits(0, 1, 1, 2, 2, 0),
            "tflite-fp32": logits(0, 1, 1, 1, 2, 1),
        },
    )


def test_mistakes_class_by_class():
    found = find_mistakes(answers(), CLASSES, {"tflite-int8": "tflite-fp32"}, 1.0)
    assert (found.shipped, found.reference) == ("tflite-int8", "tflite-fp32")
    assert [each.name for each in found.classes] == list(CLASSES)
    assert [each.accuracy["teacher"].value for each in found.classes] == [1.0, 1.0, 0.5]
    assert [each.accuracy["tflite-int8"].value for each in found.classes] == [0.5, 0.5, 0.5]
    assert [each.accuracy["tflite-int8"].n for each in found.classes] == [2, 2, 2]
    assert [each.lost for each in found.classes] == [1, 1, 0]


def test_what_the_teacher_had_right_is_told_item_by_item():
    found = find_mistakes(answers(), CLASSES, {"tflite-int8": "tflite-fp32"}, 1.0)
    assert found.lost_items == 2
    assert [(each.item, each.true, each.named) for each in found.lost] == [(1, 0, 1), (3, 1, 2)]
    sure = np.exp(4) / (np.exp(4) + 2)
    assert found.lost[0].confidence == pytest.approx(sure, rel=1e-6)
    assert found.lost[0].teacher_confidence == pytest.approx(sure, rel=1e-6)


def test_confusions_are_counted_without_those_that_are_right():
    found = find_mistakes(answers(), CLASSES, {"tflite-int8": "tflite-fp32"}, 1.0).confusions
    assert [(each.true, each.named, each.items) for each in found] == [(0, 1, 1), (1, 2, 1), (2, 0, 1)]


def test_flips_by_effect_and_margin():
    labels = np.array([0, 0, 1, 2, 1])
    before = np.array([[3, 0, 0], [1, 0, 0], [5, 0, 0], [9, 0, 0], [0, 1, 0]], np.float32)
    after = logits(1, 1, 1, 1, 1)
    flips = find_flips(labels, before, after, 1.0)
    assert [(each.item, each.effect) for each in flips] == [
        (0, "lost"),
        (1, "lost"),
        (3, "neither"),
        (2, "gained"),
    ]
    assert flips[0].margin_before == pytest.approx((np.exp(3) - 1) / (np.exp(3) + 2))
    counted = find_mistakes(answers(), CLASSES, {"tflite-int8": "tflite-fp32"}, 1.0).flipped["tflite-int8"]
    assert (counted.lost, counted.gained, counted.neither) == (1, 0, 1)


def test_without_a_float_file_flips_are_counted_from_the_student():
    found = find_mistakes(answers(), CLASSES, {"tflite-int8": None}, 1.0)
    assert found.reference == "student"
    assert found.flipped["tflite-int8"].lost == 1


def test_a_class_without_test_items_is_left_out():
    found = find_mistakes(answers(), (*CLASSES, "yak"), {"tflite-int8": None}, 1.0)
    assert [each.name for each in found.classes] == list(CLASSES)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusions_and_hits_are_all_items(pairs):
    labels, named = (np.array(each) for each in zip(*pairs, strict=True))
    found = confusions(labels, named, 5)
    assert sum(each.items for each in found) + int((labels == named).sum()) == len(pairs)
    assert [each.items for each in found] == sorted((each.items for each in found), reverse=True)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_a_margin_is_between_none_and_all_and_falls_with_temperature(seed, temperature):
    given_logits = np.random.default_rng(seed).normal(0, 3, (20, 4)).astype(np.float32)
    found = margin(given_logits, temperature)
    assert ((found >= 0) & (found <= 1)).all()
    assert margin(given_logits, temperature * 2).mean() < found.mean()


def test_bins_of_confidence_by_hand():
    given_logits = np.log(np.array([[0.95, 0.05], [0.93, 0.07], [0.45, 0.55]], np.float32))
    bins = confidence_bins(given_logits, np.array([0, 1, 1]), 1.0)
    assert [(each.items, each.accuracy.value) for each in bins] == [(1, 1.0), (2, 0.5)]
    assert [each.confidence for each in bins] == pytest.approx([0.55, 0.94])
