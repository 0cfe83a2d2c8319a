"""Resizing against an implementation of docs/bundle-format.md that shares no code with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edgeinfer.bundle import Decode, Resize
from edgeinfer.preprocess import Preprocessor

BITS = 22
A = -0.5


def sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return ((A + 2) * x - (A + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * A if x < 2 else 0.0


# Support in source pixels, and the weight at a distance.
FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: float(-0.5 < x <= 0.5)),
    "bilinear": (1.0, lambda x: max(0.0, 1 - abs(x))),
    "hamming": (1.0, lambda x: sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0),
    "bicubic": (2.0, cubic),
    "lanczos": (3.0, lambda x: sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0),
}


def along_rows(pixels: np.ndarray, low: float, high: float, count: int, kind: str) -> np.ndarray:
    """Resample axis 1 of `(H, W, C)`: the part from `low` to `high` becomes `count` columns."""
    low, high = float(np.float32(low)), float(np.float32(high))
    width = pixels.shape[1]
    if count == width and (low, high) == (0, width):
        return pixels
    scale = (high - low) / count
    out = np.empty((pixels.shape[0], count, pixels.shape[2]), np.uint8)
    for column in range(count):
        centre = low + (column + 0.5) * scale
        if kind == "nearest":
            out[:, column] = pixels[:, min(width - 1, int(centre))]
            continue
        support, weigh = FILTERS[kind]
        widened = max(1.0, scale)
        first = max(0, int(centre - support * widened + 0.5))
        last = min(width, int(centre + support * widened + 0.5))
        weights = [weigh((at - centre + 0.5) / widened) for at in range(first, last)]
        whole = [math.floor(abs(w) / sum(weights) * 2**BITS + 0.5) * (1 if w >= 0 else -1) for w in weights]
        sums = np.tensordot(pixels[:, first:last].astype(np.int64), np.array(whole), axes=(1, 0))
        out[:, column] = np.clip((sums + 2 ** (BITS - 1)) >> BITS, 0, 255)
    return out


def reference(pixels: np.ndarray, step: Resize) -> np.ndarray:
    height, width = pixels.shape[:2]

    def both(box: tuple[float, float, float, float], rows: int, columns: int) -> np.ndarray:
        across = along_rows(pixels, box[0], box[2], columns, step.filter)
        return along_rows(across.transpose(1, 0, 2), box[1], box[3], rows, step.filter).transpose(1, 0, 2)

    if step.mode == "squash":
        return both((0, 0, width, height), step.height, step.width)
    if step.mode == "fit-crop":
        scale = max(step.width / width, step.height / height)
        left, top = max(0.0, (width - step.width / scale) / 2), max(0.0, (height - step.height / scale) / 2)
        return both((left, top, width - left, height - top), step.height, step.width)
    scale = min(step.width / width, step.height / height)
    columns = min(step.width, max(1, math.floor(width * scale + 0.5)))
    rows = min(step.height, max(1, math.floor(height * scale + 0.5)))
    out = np.full((step.height, step.width, pixels.shape[2]), step.fill, np.uint8)
    left, top = (step.width - columns) // 2, (step.height - rows) // 2
    out[top : top + rows, left : left + columns] = both((0, 0, width, height), rows, columns)
    return out


@pytest.mark.parametrize("mode", ["squash", "fit-crop", "letterbox"])
@pytest.mark.parametrize("kind", ["nearest", *FILTERS])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((60, 20), (32, 8)),
        ((20, 60), (8, 32)),
        ((173, 81), (64, 32)),
        ((7, 5), (20, 9)),
        ((40, 40), (40, 13)),
    ],
)
def test_every_filter_and_mode_is_what_the_page_says(source, target, kind, mode):
    """Portrait and landscape, shrinking and growing: Pillow 13 by itself orders the passes by shape."""
    generator = np.random.default_rng(sum(source))
    for channels, color in ((1, "L"), (3, "RGB")):
        pixels = generator.integers(0, 256, (*source, channels), dtype=np.uint8)
        step = Resize(*target, mode, kind, fill=9)
        got = Preprocessor((Decode(color), step)).item(pixels)
        np.testing.assert_array_equal(got, reference(pixels, step))
