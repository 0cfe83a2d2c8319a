"""The augmentation section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, fields

_RECORDINGS = ("shift", "speed", "gain_db", "noise", "snr_db", "gap")
_PICTURES = (
    "rotate",
    "zoom_out",
    "zoom_in",
    "stretch",
    "shear",
    "shift",
    "flip",
    "crop",
    "cutout",
    "fade",
    "dim",
)
_OWN = {"image": _PICTURES, "audio": _RECORDINGS, "table": ()}


@dataclass(frozen=True)
class Augment:
    """How training items are varied, each by the seed, the epoch and its place.

    Attributes:
        rotate: Largest turn of a picture in degrees, either way.
        zoom_out: Largest shrinking of what is shown, as a share.
        zoom_in: Largest magnification, as a share.
        stretch: Largest change of the aspect ratio, as a share, either way.
        shear: Largest slant, as a share of the height, either way.
        shift: Largest move, as a share of the side, or of a recording's length, either way.
        flip: Mirror half of the pictures left to right.
        crop: Largest move in whole pixels, either way; what comes in mirrors the inside.
        cutout: Side in pixels of a grey square laid on each picture; 0 lays none.
        fade: Largest loss of contrast against white, as a share: thin or pale strokes.
        dim: Largest loss of brightness, as a share: grey paper, dark rooms.
        speed: Largest change of a recording's speed, as a share, either way; the pitch follows.
        gain_db: Largest change of its level, either way; what is too loud is clipped.
        noise: Share of the recordings that get white noise.
        snr_db: Least level of a recording above its noise; each gets its own, up to 20 dB more.
        gap: Longest gap that is silenced in a recording, as a share of its length.
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
    speed: float = 0.0
    gain_db: float = 0.0
    noise: float = 0.0
    snr_db: float = 10.0
    gap: float = 0.0

    def strangers(self, kind: str) -> list[str]:
        """Return the keys that are set and do not fit a kind of input: `image`, `audio` or `table`."""
        names = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        return [name for name in names if name not in _OWN[kind]]
