"""Seeded variation of training pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from converters.recipe import Augment

Pixels = NDArray[np.uint8]
_GREY = 128


def vary_pictures(items: Pixels, how: Augment, generator: torch.Generator) -> Pixels:
    """Vary a batch; the same generator state gives the same pictures.

    Args:
        items: `(N, H, W, C) uint8`, never changed.
        how: Largest variation of each kind; each picture gets its own, uniform within it.
        generator: Source of randomness, on the CPU.

    Returns:
        `(N, H, W, C) uint8`.
    """
    items = _flipped(items, generator) if how.flip else items.copy()
    if how.crop:
        items = _cropped(items, how.crop, generator)
    if any((how.rotate, how.zoom_out, how.zoom_in, how.stretch, how.shear, how.shift, how.fade, how.dim)):
        items = _warped(items, how, generator)
    if how.cutout:
        _cut_out(items, how.cutout, generator)
    return items


def _flipped(items: Pixels, generator: torch.Generator) -> Pixels:
    """Return a copy in which about half of the pictures are mirrored left to right."""
    result = items.copy()
    at = (torch.rand(len(items), generator=generator) < 0.5).nonzero()[:, 0].numpy()
    result[at] = np.take(items[at], np.arange(items.shape[2])[::-1], axis=2)
    return result


def _cropped(items: Pixels, pad: int, generator: torch.Generator) -> Pixels:
    """Move each picture by up to `pad` whole pixels each way; what comes in mirrors the inside.

    The same as padding by reflection and cropping at random (He et al. 2016, arXiv:1512.03385,
    section 4.2, who pad with zeros).
    """
    count, height, width, channels = items.shape
    down, across = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).numpy()
    wide = np.empty((count, height, width + 2 * pad, channels), np.uint8)
    wide[:, :, pad : pad + width] = items
    wide[:, :, :pad] = items[:, :, pad:0:-1]
    wide[:, :, pad + width :] = items[:, :, width - pad - 1 : width - 1][:, :, ::-1]
    rows = np.abs(down[:, None] - pad + np.arange(height))
    rows = np.where(rows >= height, 2 * (height - 1) - rows, rows)
    # Every row of the result is one run of bytes in a padded row.
    runs = sliding_window_view(wide.reshape(count, height, -1), width * channels, axis=2)
    chosen: Pixels = runs[np.arange(count)[:, None], rows, across[:, None] * channels]
    return chosen.reshape(items.shape)


def _cut_out(items: Pixels, side: int, generator: torch.Generator) -> None:
    """Grey out a square in place, centred anywhere, what stands over left out (arXiv:1708.04552)."""
    count, height, width, _ = items.shape
    reach = np.arange(side) - side // 2
    # Clipping repeats the border rows, which belong to the square whenever it stands over.
    rows = (torch.randint(height, (count, 1), generator=generator).numpy() + reach).clip(0, height - 1)
    columns = (torch.randint(width, (count, 1), generator=generator).numpy() + reach).clip(0, width - 1)
    items[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]] = _GREY


def _warped(items: Pixels, how: Augment, generator: torch.Generator) -> Pixels:
    """Turn, stretch, move and fade; what comes in from outside a picture repeats its border."""
    count = len(items)
    images = torch.from_numpy(items).permute(0, 3, 1, 2).float()
    if any((how.rotate, how.zoom_out, how.zoom_in, how.stretch, how.shear, how.shift)):
        grid = F.affine_grid(_affine(count, how, generator), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if how.fade:
        keep = 1 - how.fade * torch.rand(count, 1, 1, 1, generator=generator)
        images = 255 - (255 - images) * keep
    if how.dim:
        images = images * (1 - how.dim * torch.rand(count, 1, 1, 1, generator=generator))
    result: Pixels = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
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
