"""What holds for boxes, whatever a detector says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeinfer.bundle import Boxes, CenterCrop, Decode, NonMaximumSuppression, Resize, ScoreThreshold
from edgeinfer.preprocess import Detector, Preprocessor, overlaps, place, suppress

LIMITS = st.floats(0, 1)
# Whole numbers on a small grid: boxes touch, contain and equal each other, and have no area at all.
CORNERS = st.integers(0, 12)
BOXES = st.lists(st.tuples(CORNERS, CORNERS, CORNERS, CORNERS), max_size=25).map(
    lambda boxes: np.array(
        [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes], np.float64
    ).reshape(-1, 4)
)


def slow_overlap(one, other) -> float:
    """Intersection over union by counting the unit squares of both."""
    squares = [
        {(x, y) for x in range(int(b[0]), int(b[2])) for y in range(int(b[1]), int(b[3]))}
        for b in (one, other)
    ]
    union = len(squares[0] | squares[1])
    return len(squares[0] & squares[1]) / union if union else 0.0


def slow_suppress(boxes, groups, limit) -> list[int]:
    stay: list[int] = []
    for at, box in enumerate(boxes):
        if all(groups[at] != groups[k] or slow_overlap(boxes[k], box) <= limit for k in stay):
            stay.append(at)
    return stay


def groups_of(draw, boxes):
    return np.array(draw.draw(st.lists(st.integers(0, 2), min_size=len(boxes), max_size=len(boxes))), int)


@given(BOXES, BOXES)
def test_the_overlap_is_the_share_of_squares_and_symmetric(ones, others):
    for one in ones[:3]:
        got = overlaps(one, others)
        assert got.tolist() == [slow_overlap(one, other) for other in others]
        assert got.tolist() == [overlaps(other, one[None])[0] for other in others]


@given(st.data(), BOXES, LIMITS)
def test_suppression_is_the_slow_one(draw, boxes, limit):
    groups = groups_of(draw, boxes)
    assert suppress(boxes, groups, limit) == slow_suppress(boxes, groups, limit)


@given(st.data(), BOXES, LIMITS)
def test_no_two_that_stay_overlap_and_each_that_goes_overlaps_one(draw, boxes, limit):
    groups = groups_of(draw, boxes)
    stay = suppress(boxes, groups, limit)
    for at in range(len(boxes)):
        others = [k for k in stay if groups[k] == groups[at] and k < at]
        clash = bool((overlaps(boxes[at], boxes[others]) > limit).any()) if others else False
        assert clash == (at not in stay)


@given(st.data(), BOXES, LIMITS)
def test_suppressing_twice_changes_nothing(draw, boxes, limit):
    groups = groups_of(draw, boxes)
    stay = suppress(boxes, groups, limit)
    assert suppress(boxes[stay], groups[stay], limit) == list(range(len(stay)))


def detector(iou, least=0.2, **fields):
    steps = (
        Boxes("boxes", unit="pixel"),
        ScoreThreshold(least, fields.pop("background", None)),
        NonMaximumSuppression(iou, **fields),
    )
    return Detector(steps, 12, 12)


@given(st.data(), BOXES, LIMITS)
def test_the_order_of_a_detector_s_boxes_does_not_matter(draw, boxes, limit):
    """With scores that are all different; equal ones go by the order, which the format states."""
    ranks = draw.draw(st.permutations(range(len(boxes) * 2)))
    scores = (np.array(ranks, np.float32).reshape(-1, 2) + 1) / (2 * len(boxes) + 1)
    order = draw.draw(st.permutations(range(len(boxes))))
    find = detector(limit)
    assert find(scores, boxes) == find(scores[list(order)], boxes[list(order)])


@given(
    st.data(),
    BOXES,
    LIMITS,
    st.integers(1, 30),
    st.booleans(),
)
def test_a_detector_is_the_slow_one_ties_included(draw, boxes, limit, k, per_class):
    grades = arrays.arrays(np.int64, (len(boxes), 3), elements=st.integers(0, 4))
    scores = draw.draw(grades).astype(np.float32) / 4
    counting = [
        (-float(scores[at, group]), at, group)
        for at in range(len(boxes))
        for group in (1, 2)
        if scores[at, group] >= 0.25 and (boxes[at, 2:] > boxes[at, :2]).all()
    ]
    counting.sort()
    groups = np.array([group if per_class else 0 for _, _, group in counting], int)
    stay = slow_suppress(boxes[[at for _, at, _ in counting]], groups, limit)[:k]
    wanted = [(counting[each][2], -counting[each][0], tuple(boxes[counting[each][1]])) for each in stay]
    find = detector(limit, 0.25, background=0, k=k, per_class=per_class)
    assert [(found.index, found.score, found.box) for found in find(scores, boxes)] == wanted


SIDES = st.integers(1, 90)
RESIZES = st.builds(
    Resize,
    SIDES,
    SIDES,
    st.sampled_from(["squash", "fit-crop", "letterbox"]),
    st.just("nearest"),
    st.just(255),
)


@given(RESIZES, SIDES, SIDES, st.data())
def test_a_pixel_of_the_input_is_placed_where_it_came_from(resize, width, height, draw):
    """The picture says of each pixel where it is; the bars of a letterbox are 255."""
    crop = CenterCrop(draw.draw(st.integers(1, resize.height)), draw.draw(st.integers(1, resize.width)))
    down, across = np.mgrid[:height, :width].astype(np.uint8)
    picture = np.stack([across, down, across], axis=-1)
    pixels, placement = Preprocessor((Decode("RGB"), resize, crop)).placed(picture)
    rows, columns = np.nonzero(pixels[:, :, 0] < 255)
    values = pixels[rows, columns]
    centers = np.stack([columns, rows, columns + 1, rows + 1], axis=1).astype(np.float64)
    placed = placement.boxes(centers)
    where = (placed[:, :2] + placed[:, 2:]) / 2
    if resize.mode == "squash":
        assert len(rows) == crop.height * crop.width
    assert (np.abs(where - (values[:, :2] + 0.5)) <= 0.5 + 1e-6).all()
    assert (placement.width, placement.height) == (width, height)


@given(st.lists(RESIZES, min_size=1, max_size=3), SIDES, SIDES)
def test_steps_one_after_the_other_are_placed_one_after_the_other(steps, width, height):
    box = np.array([[1.0, 2.0, 3.0, 5.0]])
    whole = place(steps, width, height)
    for at in reversed(range(len(steps))):
        before = steps[at - 1] if at else None
        size = (before.width, before.height) if before else (width, height)
        own = place(steps[at : at + 1], *size)
        box = box * ([own.scale_x, own.scale_y] * 2) + ([own.left, own.top] * 2)
    np.testing.assert_allclose(
        np.array([1.0, 2.0, 3.0, 5.0]) * ([whole.scale_x, whole.scale_y] * 2) + ([whole.left, whole.top] * 2),
        box[0],
        rtol=1e-9,
        atol=1e-9,
    )
