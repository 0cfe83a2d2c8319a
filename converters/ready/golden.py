"""Golden pictures of a ready model: synthetic, and small enough not to outweigh it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converters.package.golden_pictures import golden_picture
from converters.ready.wrap import Contract
from edgeinfer.bundle import picture_size
from edgeinfer.preprocess import Preprocessor

ORIGIN = "synthetic: seeded gradients, stripes, discs and coarse noise, made by edgeinfer"
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
        golden_picture(case, round(height * _FACTOR), round(width * _FACTOR), channels)
        for case in range(cases)
    )
    preprocess = Preprocessor(made.input.preprocess)
    return np.concatenate([preprocess(each) for each in pictures]), pictures
