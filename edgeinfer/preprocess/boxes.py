"""A detector's outputs to boxes: decoded, above a score, and one of each thing.

docs/bundle-format.md says in which order numbers are computed, so that another language finds the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import Boxes, DetectionStep, NonMaximumSuppression, PriorLevel, ScoreThreshold, SsdBoxes
from edgeinfer.errors import EngineRunError
from edgeinfer.frozen import frozen

Floats = NDArray[np.float64]


@frozen
class Found:
    """One box of a class.

    Attributes:
        index: The class.
        score: Its score.
        box: x0, y0, x1, y1 in pixels of the model's input; not clipped.
    """

    index: int
    score: float
    box: tuple[float, float, float, float]


class Detector:
    """Detection steps, for inputs of one size.

    Args:
        steps: Boxes or SsdBoxes, ScoreThreshold, NonMaximumSuppression.
        height: Of the model's input, in pixels.
        width: Of the model's input, in pixels.
    """

    def __init__(self, steps: Sequence[DetectionStep], height: int, width: int) -> None:
        self._boxes = next(step for step in steps if isinstance(step, Boxes | SsdBoxes))
        self._threshold = next(step for step in steps if isinstance(step, ScoreThreshold))
        self._suppression = next(step for step in steps if isinstance(step, NonMaximumSuppression))
        self._size = (height, width)

    @property
    def output(self) -> str:
        """Name of the output that holds the boxes."""
        return self._boxes.output

    def __call__(self, scores: NDArray[np.floating], boxes: NDArray[np.floating]) -> list[Found]:
        """Return what is there, highest score first; equal ones in order of box, then class.

        Args:
            scores: `(boxes, classes)`.
            boxes: `(boxes, 4)`, as the model gives them.

        Raises:
            EngineRunError: A score, or a box that counts, is NaN or infinite.
        """
        kept = scores.astype(np.float64)
        if not np.isfinite(kept).all():
            raise EngineRunError(
                "a detector's scores are NaN or infinite", next_step="run `edgeinfer verify`"
            )
        if self._threshold.background is not None:
            kept[:, self._threshold.background] = -1.0
        at, classes = np.nonzero(kept >= self._threshold.least)
        own = kept[at, classes]
        order = np.argsort(-own, kind="stable")
        decoded = self._decoded(boxes, at[order])
        real = (decoded[:, 2:] > decoded[:, :2]).all(axis=1)
        order, decoded = order[real], decoded[real]
        most = self._suppression.candidates
        order, decoded = order[:most], decoded[:most]
        groups = classes[order] if self._suppression.per_class else np.zeros(len(order), np.int64)
        stay = suppress(decoded, groups, self._suppression.iou)[: self._suppression.k]
        return [
            Found(int(classes[order[each]]), float(own[order[each]]), _four(decoded[each])) for each in stay
        ]

    def _decoded(self, boxes: NDArray[np.floating], at: NDArray[np.intp]) -> Floats:
        """Return the boxes at some places as corners in pixels of the input."""
        height, width = self._size
        values = boxes.astype(np.float64)[at]
        with np.errstate(over="ignore", invalid="ignore"):
            if isinstance(self._boxes, SsdBoxes):
                values = decode_ssd(self._boxes, values, _priors(self._boxes, height, width)[at])
            else:
                values = _corners(self._boxes, values)
            if isinstance(self._boxes, SsdBoxes) or self._boxes.unit == "share":
                values = values * np.array([width, height] * 2, np.float64)
        if not np.isfinite(values).all():
            raise EngineRunError("a detector's boxes are NaN or infinite", next_step="run `edgeinfer verify`")
        return values


def ssd_priors(levels: Sequence[PriorLevel], height: int, width: int, *, clip: bool) -> Floats:
    """Return `(priors, 4)` centre x, centre y, width, height as shares of the input.

    Liu et al. 2016 (arXiv:1512.02325), section 2.2: centres at ((i + 0.5) / columns, (j + 0.5) / rows).
    """
    parts = []
    for level in levels:
        sizes = np.asarray(level.sizes, np.float64) / (width, height)
        row, column, size = np.mgrid[: level.rows, : level.columns, : len(sizes)].reshape(3, -1)
        centers = np.stack([(column + 0.5) / level.columns, (row + 0.5) / level.rows], axis=1)
        parts.append(np.concatenate([centers, sizes[size]], axis=1))
    priors = np.concatenate(parts)
    return np.clip(priors, 0.0, 1.0) if clip else priors


def decode_ssd(step: SsdBoxes, offsets: Floats, priors: Floats) -> Floats:
    """Return `(N, 4)` corners x0, y0, x1, y1 as shares of the input, from offsets and their priors."""
    centers = priors[:, :2] + offsets[:, :2] * step.center_variance * priors[:, 2:]
    sizes = priors[:, 2:] * np.exp(offsets[:, 2:] * step.size_variance)
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def overlaps(box: Floats, boxes: Floats) -> Floats:
    """Return the intersection over union of one box with each of `(N, 4)`, corners x0, y0, x1, y1."""
    least = np.maximum(box[:2], boxes[:, :2])
    most = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(most - least, 0.0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def suppress(boxes: Floats, groups: NDArray[np.integer], limit: float) -> list[int]:
    """Return which boxes stay: in their order, each unless it overlaps one of its group that stays by more.

    Args:
        boxes: `(N, 4)` corners, the best first.
        groups: `(N,)`; boxes of different groups leave each other alone.
        limit: Intersection over union.
    """
    alive = np.ones(len(boxes), bool)
    stay = []
    for at in range(len(boxes)):
        if alive[at]:
            stay.append(at)
            later = np.flatnonzero(alive[at + 1 :] & (groups[at + 1 :] == groups[at])) + at + 1
            alive[later[overlaps(boxes[at], boxes[later]) > limit]] = False
    return stay


def _corners(step: Boxes, values: Floats) -> Floats:
    if step.coordinates == "y0x0y1x1":
        return values[:, [1, 0, 3, 2]]
    if step.coordinates == "cxcywh":
        half = values[:, 2:] / 2
        return np.concatenate([values[:, :2] - half, values[:, :2] + half], axis=1)
    return values


@functools.lru_cache(maxsize=4)
def _priors(step: SsdBoxes, height: int, width: int) -> Floats:
    return ssd_priors(step.levels, height, width, clip=step.clip)


def _four(box: Floats) -> tuple[float, float, float, float]:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
