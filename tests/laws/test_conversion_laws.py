"""What holds for every split and every preprocessing specification."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from converters.data.splits import SPLITS, split_items
from edgeinfer.bundle import Decode, Layout, Normalize, Resize, Scale, decode, encode, steps_digest
from edgeinfer.bundle.manifest import Input
from edgeinfer.errors import DataError
from edgeinfer.preprocess import Preprocessor

# Enough of each class for every split, then whatever comes: copies, other classes, given splits.
BASE = [(100 * label + at, label, None) for label in range(3) for at in range(12)]
ITEMS = st.lists(
    st.tuples(st.integers(0, 240), st.integers(0, 2), st.sampled_from([None, *SPLITS])), max_size=60
).map(lambda more: BASE + more)


@given(ITEMS, st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 5))
def test_splits_never_share_content_and_keep_what_was_given_to_test(items, validation, test, seed):
    digests, labels = [f"{content}" for content, _, _ in items], [label for _, label, _ in items]
    given_ = [split for _, _, split in items]
    try:
        splits = split_items(digests, labels, given_, validation=validation, test=test, seed=seed)
    except DataError:
        # A split that the data gives may lack a class; shares of 12 items a class always suffice.
        if set(given_) == {None}:
            raise
        return
    by_content: dict[str, set[str]] = {}
    for digest, split in zip(digests, splits, strict=True):
        by_content.setdefault(digest, set()).add(split)
    assert all(len(found) == 1 for found in by_content.values())
    in_test = {digest for digest, split in zip(digests, given_, strict=True) if split == "test"}
    assert all(by_content[digest] == {"test"} for digest in in_test)
    assert set(splits) == set(SPLITS)


SIDES = st.integers(1, 24)
STEPS = st.builds(
    lambda color, height, width, mode, kind, mean, std, order: (
        Decode(color),
        Resize(height, width, mode, kind, fill=3),
        Scale(1 / 255),
        Normalize((mean,) * (3 if color == "RGB" else 1), (std,) * (3 if color == "RGB" else 1)),
        Layout(order),
    ),
    st.sampled_from(["RGB", "L"]),
    SIDES,
    SIDES,
    st.sampled_from(["squash", "fit-crop", "letterbox"]),
    st.sampled_from(["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]),
    st.floats(-1, 1),
    st.floats(0.1, 2),
    st.sampled_from(["HWC", "CHW"]),
)


@given(STEPS, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_every_specification_gives_the_declared_shape_and_finite_values(steps, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = Preprocessor(steps)(pixels)
    channels = 3 if steps[0].color == "RGB" else 1
    rows, columns = steps[1].height, steps[1].width
    shape = (channels, rows, columns) if steps[-1].order == "CHW" else (rows, columns, channels)
    assert (out.shape, out.dtype) == ((1, *shape), np.float32)
    assert np.isfinite(out).all()


@given(STEPS)
def test_a_specification_round_trips_and_its_digest_follows_its_content(steps):
    input_ = Input("image", "float32", ("batch", 1), steps, steps_digest(steps))
    assert decode(Input, encode(input_), where="input") == input_
    changed = (
        *steps[:1],
        Resize(steps[1].height + 1, *[getattr(steps[1], name) for name in ("width", "mode", "filter")]),
    )
    assert steps_digest(changed) != steps_digest(steps)
