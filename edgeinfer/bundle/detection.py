"""The steps from a detector's outputs to boxes in the picture, as data.

`edgeinfer.preprocess` executes them; docs/bundle-format.md defines each to the last rounding.
"""

from __future__ import annotations

from typing import Literal

from edgeinfer.frozen import frozen

Coordinates = Literal["x0y0x1y1", "y0x0y1x1", "cxcywh"]


@frozen
class Boxes:
    """Boxes that the model has decoded itself.

    Attributes:
        output: Name of the manifest's output that holds them, `(batch, boxes, 4)`.
        coordinates: What the four numbers are: corners, rows first, or centre, width and height.
        unit: `share` of the input's width and height, or `pixel` of the input.
    """

    output: str
    coordinates: Coordinates = "x0y0x1y1"
    unit: Literal["share", "pixel"] = "share"
    op: Literal["boxes"] = "boxes"


@frozen
class PriorLevel:
    """The prior boxes of one feature map: one of every size at the centre of every cell.

    Attributes:
        rows: Cells down.
        columns: Cells across.
        sizes: Width and height of each prior, in pixels of the model's input.
    """

    rows: int
    columns: int
    sizes: tuple[tuple[float, ...], ...]


@frozen
class SsdBoxes:
    """Boxes as offsets from priors (Liu et al. 2016, arXiv:1512.02325, equation 2, solved for the box).

    Attributes:
        output: Name of the manifest's output that holds the offsets, `(batch, priors, 4)`.
        levels: Feature maps in the order of the output; row by row, then column, then size.
        center_variance: Factor of the offsets of the centre.
        size_variance: Factor of the logarithms of width and height.
        clip: Whether each number of a prior is clipped to 0..1, as a share of the input.
    """

    output: str
    levels: tuple[PriorLevel, ...]
    center_variance: float = 0.1
    size_variance: float = 0.2
    clip: bool = True
    op: Literal["ssd_boxes"] = "ssd_boxes"


@frozen
class ScoreThreshold:
    """Which boxes count.

    Attributes:
        least: A class's score at or above which a box is one of that class.
        background: Class that means nothing is there, or None.
    """

    least: float
    background: int | None = None
    op: Literal["score_threshold"] = "score_threshold"


@frozen
class NonMaximumSuppression:
    """Of boxes that cover the same thing, the one with the highest score stays.

    Attributes:
        iou: Intersection over union above which two boxes cover the same.
        k: At most so many stay, the highest scores.
        candidates: At most so many take part, the highest scores.
        per_class: Whether boxes of different classes leave each other alone.
    """

    iou: float
    k: int = 100
    candidates: int = 1000
    per_class: bool = True
    op: Literal["non_maximum_suppression"] = "non_maximum_suppression"


DetectionStep = Boxes | SsdBoxes | ScoreThreshold | NonMaximumSuppression
