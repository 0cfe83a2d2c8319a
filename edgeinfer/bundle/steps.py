"""The steps of pictures, those of any tensor, and those of a classification, as data.

`edgeinfer.preprocess` executes them; docs/bundle-format.md defines each to the last rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.bundle.all_steps import PreprocessStep

Color = Literal["RGB", "L"]
Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
# Of a source, whatever its kind.
MAX_FILE_BYTES = 2**29
ResizeMode = Literal["squash", "fit-crop", "letterbox"]


@frozen
class Decode:
    """Encoded picture to `(H, W, C) uint8`, EXIF orientation applied, transparency laid on `background`.

    Attributes:
        color: `RGB` (C = 3) or `L`, grey by ITU-R 601-2 luma (C = 1).
        max_pixels: Width times height above which the picture is refused before it is decoded.
        background: Grey level 0..255 under transparent pixels.
        jpeg_oversampling: A JPEG is decoded at 1/8, 1/4 or 1/2 of its size where that leaves this many pixels for
            each one of the resize that follows, across and down; None decodes all of it. A large photograph is
            decoded several times faster so.
    """

    color: Color
    max_pixels: int = 50_000_000
    background: int = 255
    jpeg_oversampling: int | None = None
    op: Literal["decode"] = "decode"


@frozen
class Resize:
    """`(H, W, C) uint8` to `(height, width, C) uint8`.

    Attributes:
        height: Rows of the result.
        width: Columns of the result.
        mode: `squash` ignores the aspect ratio; `fit-crop` keeps it and crops what stands over,
            centred; `letterbox` keeps it and fills what is missing, centred.
        filter: Resampling filter, with support widened by the scale when shrinking.
        fill: Grey level 0..255 of the bars of `letterbox`.
    """

    height: int
    width: int
    mode: ResizeMode
    filter: Filter
    fill: int = 0
    op: Literal["resize"] = "resize"


@frozen
class CenterCrop:
    """`(H, W, C) uint8` to its centre `(height, width, C)`, offsets rounded down."""

    height: int
    width: int
    op: Literal["center_crop"] = "center_crop"


@frozen
class Scale:
    """Values to float32 `x * factor + offset`."""

    factor: float
    offset: float = 0.0
    op: Literal["scale"] = "scale"


@frozen
class Normalize:
    """Float32 `(x - mean) / std`, one value per place on the last axis (a channel, a band), or one for all."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    op: Literal["normalize"] = "normalize"


@frozen
class Layout:
    """`(H, W, C)` to the declared order of axes."""

    order: Literal["HWC", "CHW"]
    op: Literal["layout"] = "layout"


@frozen
class Softmax:
    """Logits to probabilities over the last axis: `softmax(x / temperature)` in float64."""

    temperature: float = 1.0
    op: Literal["softmax"] = "softmax"


@frozen
class TopK:
    """The `k` likeliest labels, likeliest first; equal ones in order of their index.

    Without a softmax before it the output's values are the probabilities.
    """

    k: int
    op: Literal["top_k"] = "top_k"


def channel_order(steps: Sequence[PreprocessStep]) -> Literal["HWC", "CHW"]:
    """Return the order of axes in which steps leave a picture: channels last, unless a layout says otherwise."""
    return next((step.order for step in steps if isinstance(step, Layout)), "HWC")
