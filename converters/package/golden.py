"""Golden inputs: synthetic pictures whose outputs a device must reproduce. Never training data."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.recipe import Input

CASES = 8
ORIGIN = "synthetic: seeded gradients, stripes, discs and noise, made by edgeinfer"
# Larger than the input, and not its multiple, so that resizing is tested too.
_FACTOR = 2.7
_SIDE = 24


def golden_pictures(input_: Input) -> list[bytes]:
    """Return `CASES` encoded pictures (PNG, which every decoder reads alike) for an input."""
    height, width = (max(_SIDE, round(side * _FACTOR)) for side in (input_.height, input_.width))
    return [_png(_picture(case, height, width, input_.channels)) for case in range(CASES)]


def _picture(case: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(case)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = []
    for _ in range(channels):
        angle, phase = generator.uniform(0, 2 * np.pi, 2)
        along = np.cos(angle) * across + np.sin(angle) * down
        stripes = np.sin(2 * np.pi * generator.uniform(1, 4) * along + phase)
        centre, radius = generator.uniform(0.2, 0.8, 2), generator.uniform(0.1, 0.4)
        disc = np.hypot(down - centre[0], across - centre[1]) < radius
        noise = generator.normal(0, 0.2, (height, width))
        planes.append((along, stripes, disc * 2.0 - 1, stripes * 0.5 + disc + noise)[case % 4])
    stacked = np.stack(planes, axis=-1)
    low, high = stacked.min(), stacked.max()
    result: NDArray[np.uint8] = np.rint((stacked - low) * (255 / (high - low))).astype(np.uint8)
    return result


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
