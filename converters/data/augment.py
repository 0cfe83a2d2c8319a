"""Seeded variation of training pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.recipe import Augment


def augment(pixels: NDArray[np.uint8], how: Augment, generator: torch.Generator) -> NDArray[np.uint8]:
    """Vary a batch; the same generator state gives the same pictures.

    Args:
        pixels: `(N, H, W, C) uint8`.
        how: Largest variation of each kind; each picture gets its own, uniform within it.
        generator: Source of randomness, on the CPU.

    Returns:
        `(N, H, W, C) uint8`. What comes in from outside a picture repeats its border.
    """
    count = len(pixels)
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
    if how.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images[mirrored] = images[mirrored].flip(3)
    if any((how.rotate, how.zoom_out, how.zoom_in, how.stretch, how.shear, how.shift)):
        grid = F.affine_grid(_affine(count, how, generator), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if how.fade:
        keep = 1 - how.fade * torch.rand(count, 1, 1, 1, generator=generator)
        images = 255 - (255 - images) * keep
    if how.dim:
        images = images * (1 - how.dim * torch.rand(count, 1, 1, 1, generator=generator))
    result: NDArray[np.uint8] = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return result


def _affine(count: int, how: Augment, generator: torch.Generator) -> torch.Tensor:
    """Return `(N, 2, 3)` maps from output to input coordinates in -1..1."""

    def either_way(limit: float) -> torch.Tensor:
        return limit * (2 * torch.rand(count, generator=generator) - 1)

    angle = either_way(math.radians(how.rotate))
    scale = 1 - how.zoom_in + (how.zoom_in + how.zoom_out) * torch.rand(count, generator=generator)
    aspect = 1 + either_way(how.stretch)
    shear = either_way(how.shear)
    across, down = either_way(how.shift), either_way(how.shift)
    first = torch.stack([scale * aspect * angle.cos(), shear - angle.sin(), across], 1)
    second = torch.stack([angle.sin(), scale / aspect * angle.cos(), down], 1)
    return torch.stack([first, second], 1)
