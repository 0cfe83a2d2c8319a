"""Seeded variation of training items."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.pictures import vary_pictures
from converters.data.recordings import vary_recordings
from converters.recipe import Augment

Items = NDArray[Any]


def augment(items: Items, how: Augment, generator: torch.Generator) -> Items:
    """Vary a batch; the same generator state gives the same items.

    Args:
        items: `(N, H, W, C) uint8` pictures, `(N, samples) int16` recordings, or rows, which are not
            varied. Never changed.
        how: Largest variation of each kind; each item gets its own, uniform within it.
        generator: Source of randomness, on the CPU.

    Returns:
        A new array of the same shape and type.
    """
    if items.dtype == np.uint8:
        return vary_pictures(items, how, generator)
    if items.dtype == np.int16:
        return vary_recordings(items, how, generator)
    return items.copy()
