"""The input and augmentation sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeinfer.bundle import Decode, Layout, Normalize, PreprocessStep, Resize, Scale


@dataclass(frozen=True)
class Input:
    """What the student takes: the preprocessing specification.

    Attributes:
        height: Rows.
        width: Columns.
        color: `RGB`, or `L` for grey.
        resize: `squash`, `fit-crop` or `letterbox`.
        filter: Resampling filter.
        mean: One value a channel, of pixels scaled to 0..1.
        std: One value a channel.
        max_pixels: Largest picture that will be decoded.
    """

    height: int
    width: int
    color: Literal["RGB", "L"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["squash", "fit-crop", "letterbox"] = "squash"
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    max_pixels: int = 50_000_000

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self.color == "RGB" else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of one preprocessed item, `(C, H, W)`."""
        return (self.channels, self.height, self.width)

    def steps(self) -> tuple[PreprocessStep, ...]:
        """Return the specification that goes into the manifest and that training uses."""
        return (
            Decode(self.color, self.max_pixels),
            Resize(self.height, self.width, self.resize, self.filter),
            Scale(1 / 255),
            Normalize(self.mean, self.std),
            Layout("CHW"),
        )


@dataclass(frozen=True)
class Augment:
    """How training pictures are varied, each by the seed, the epoch and its place.

    Attributes:
        rotate: Largest turn in degrees, either way.
        zoom_out: Largest shrinking of what is shown, as a share.
        zoom_in: Largest magnification, as a share.
        stretch: Largest change of the aspect ratio, as a share, either way.
        shear: Largest slant, as a share of the height, either way.
        shift: Largest move, as a share of the side, either way.
        flip: Mirror half of the pictures left to right.
        crop: Largest move in whole pixels, either way; what comes in mirrors the inside.
        cutout: Side in pixels of a grey square laid on each picture; 0 lays none.
        fade: Largest loss of contrast against white, as a share: thin or pale strokes.
        dim: Largest loss of brightness, as a share: grey paper, dark rooms.
    """

    rotate: float = 0.0
    zoom_out: float = 0.0
    zoom_in: float = 0.0
    stretch: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    fade: float = 0.0
    dim: float = 0.0
