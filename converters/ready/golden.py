"""Golden pictures of a ready model: synthetic, and small enough not to outweigh it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.ready.wrap import Contract
from edgeinfer.bundle import picture_size
from edgeinfer.preprocess import Preprocessor

ORIGIN = "synthetic: seeded gradients, discs and coarse noise, made by edgeinfer"
# Not a multiple of the input, so that resizing is tested too.
_FACTOR = 1.3
_MOST_BYTES = 2_000_000
_MOST_CASES = 8


def golden_inputs(made: Contract) -> tuple[NDArray[np.float32], tuple[bytes, ...]]:
    """Return `(cases, ...) float32` inputs, and for a model of pictures the pictures (PNG) that they come from."""
    lengths = [each for each in made.input.shape[1:] if isinstance(each, int)]
    cases = max(2, min(_MOST_CASES, _MOST_BYTES // (4 * int(np.prod(lengths)))))
    if not made.input.preprocess:
        generator = np.random.default_rng(0)
        return generator.normal(size=(cases, *lengths)).astype(np.float32), ()
    height, width = picture_size(made.input)
    channels = lengths[0] if made.order == "CHW" else lengths[-1]
    pictures = tuple(
        _png(_picture(case, round(height * _FACTOR), round(width * _FACTOR), channels))
        for case in range(cases)
    )
    preprocess = Preprocessor(made.input.preprocess)
    return np.concatenate([preprocess(each) for each in pictures]), pictures


def _picture(case: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(case)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = []
    for _ in range(channels):
        angle, center = generator.uniform(0, 2 * np.pi), generator.uniform(0.25, 0.75, 2)
        disc = np.hypot(down - center[0], across - center[1]) < generator.uniform(0.1, 0.35)
        noise = np.kron(generator.normal(0, 0.3, (8, 8)), np.ones((-(-height // 8), -(-width // 8))))
        plane = np.cos(angle) * across + np.sin(angle) * down + disc * generator.uniform(-1, 1)
        planes.append(plane + noise[:height, :width])
    stacked = np.stack(planes, axis=-1)
    low, high = stacked.min(), stacked.max()
    result: NDArray[np.uint8] = np.rint((stacked - low) * (255 / (high - low))).astype(np.uint8)
    return result


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
