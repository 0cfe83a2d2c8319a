"""Pictures drawn for golden inputs: seeded, and small as PNG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Noise in squares: that of single pixels would outweigh a small model.
_SQUARES = 8


def golden_picture(case: int, height: int, width: int, channels: int) -> bytes:
    """Return a PNG, grey or RGB; by its number a gradient, stripes, a disc, or all with coarse noise."""
    generator = np.random.default_rng(case)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = []
    for _ in range(channels):
        angle, phase = generator.uniform(0, 2 * np.pi, 2)
        along = np.cos(angle) * across + np.sin(angle) * down
        stripes = np.sin(2 * np.pi * generator.uniform(1, 4) * along + phase)
        centre, radius = generator.uniform(0.2, 0.8, 2), generator.uniform(0.1, 0.4)
        disc = np.hypot(down - centre[0], across - centre[1]) < radius
        noise = generator.normal(0, 0.3, (_SQUARES, _SQUARES))
        coarse = np.kron(noise, np.ones((-(-height // _SQUARES), -(-width // _SQUARES))))[:height, :width]
        planes.append((along, stripes, disc * 2.0 - 1, stripes * 0.5 + disc + coarse)[case % 4])
    stacked = np.stack(planes, axis=-1)
    low, high = stacked.min(), stacked.max()
    return _png(np.rint((stacked - low) * (255 / (high - low))).astype(np.uint8))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
