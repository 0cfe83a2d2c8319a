"""Where the pixels of a model's input lie in the picture that they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.bundle import CenterCrop, Resize
from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
Size = tuple[int, int]
_SHRINKINGS = (8, 4, 2)


@frozen
class Placement:
    """An upright picture, and how its coordinates follow from the model input's: `x * scale_x + left`.

    Attributes:
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        scale_x: Pixels of the picture per pixel of the input, across.
        scale_y: The same, down.
        left: Where the input's left edge lies in the picture.
        top: Where its upper edge lies.
    """

    width: int
    height: int
    scale_x: float = 1.0
    scale_y: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def boxes(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes of the input, `(N, 4)` x0 y0 x1 y1 in pixels, in pixels of the picture, clipped to it."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        offset = np.array([self.left, self.top] * 2)
        limits = np.array([self.width, self.height] * 2, np.float64)
        result: NDArray[np.float64] = np.clip(boxes * scale + offset, 0.0, limits)
        return result

    def of_picture(self, size: Size) -> Placement:
        """Return it for the whole picture, of a width and height, of which this one's is a smaller copy."""
        across, down = size[0] / self.width, size[1] / self.height
        return Placement(
            *size, self.scale_x * across, self.scale_y * down, self.left * across, self.top * down
        )


def jpeg_shrinking(steps: Sequence[Resize | CenterCrop], size: Size, oversampling: int) -> int:
    """Return how many times smaller, across and down, a JPEG may be decoded: 1, 2, 4 or 8.

    Args:
        steps: Resizes and crops behind the decoding.
        size: Width and height of the upright picture.
        oversampling: Pixels that must be left for each one that the first resize makes, across and down.
    """
    if not steps or not isinstance(steps[0], Resize):
        return 1
    shown, where = resized(steps[0], *size)
    room = min((shown[2] - shown[0]) / where[2], (shown[3] - shown[1]) / where[3]) / oversampling
    return next((shrinking for shrinking in _SHRINKINGS if shrinking <= room), 1)


def resized(step: Resize, width: int, height: int) -> tuple[Rectangle, tuple[int, int, int, int]]:
    """Return what a resize shows of a picture (left, top, right, bottom) and where (left, top, width, height)."""
    if step.mode == "squash":
        return (0.0, 0.0, float(width), float(height)), (0, 0, step.width, step.height)
    if step.mode == "fit-crop":
        scale = max(step.width / width, step.height / height)
        left = (width - step.width / scale) / 2
        top = (height - step.height / scale) / 2
        shown = (
            max(0.0, left),
            max(0.0, top),
            min(float(width), width - left),
            min(float(height), height - top),
        )
        return shown, (0, 0, step.width, step.height)
    scale = min(step.width / width, step.height / height)
    inner = (_length(width * scale, step.width), _length(height * scale, step.height))
    offset = ((step.width - inner[0]) // 2, (step.height - inner[1]) // 2)
    return (0.0, 0.0, float(width), float(height)), (*offset, *inner)


def place(steps: Sequence[Resize | CenterCrop], width: int, height: int) -> Placement:
    """Return where the result of the steps lies in an upright picture of a size.

    Args:
        steps: Resizes and crops, in their order.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """
    scale_x, scale_y, left, top = 1.0, 1.0, 0.0, 0.0
    now = (width, height)
    for step in steps:
        if isinstance(step, Resize):
            shown, where = resized(step, *now)
            across, down = (shown[2] - shown[0]) / where[2], (shown[3] - shown[1]) / where[3]
            left += (shown[0] - where[0] * across) * scale_x
            top += (shown[1] - where[1] * down) * scale_y
            scale_x, scale_y = scale_x * across, scale_y * down
        else:
            left += (now[0] - step.width) // 2 * scale_x
            top += (now[1] - step.height) // 2 * scale_y
        now = (step.width, step.height)
    return Placement(width, height, scale_x, scale_y, left, top)


def _length(value: float, limit: int) -> int:
    return min(limit, max(1, int(value + 0.5)))
