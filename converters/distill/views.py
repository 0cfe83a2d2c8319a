"""Seeded variations of a whole training set, in chunks, so that a teacher and a student see the same.

A view is one variation of every item. It depends on the seed and its number alone: the teacher can
answer it once, and every later epoch, run and student meets exactly those items again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.augment import augment
from converters.recipe import Augment

# Of any dtype that augmentation takes: pixels, waveforms, rows.
Items = NDArray[Any]
# Items that are varied and blended together: the unit of memory.
CHUNK = 4096


@dataclass(frozen=True)
class Blend:
    """How items are blended; see `converters.recipe.Student`."""

    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass(frozen=True)
class Chunk:
    """Some items of a view.

    Attributes:
        start: Place of the first within the view.
        items: Varied and blended items, `(n, ...)`, of the data's dtype.
        labels: `(n,) int64` classes; -1 where there is none.
        partners: `(n,) int64` classes of what was blended in.
        shares: `(n,) float32` share of the item itself, 1 where nothing was blended in.
    """

    start: int
    items: Items
    labels: NDArray[np.int64]
    partners: NDArray[np.int64]
    shares: NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """All views of a training set.

    Attributes:
        items: `(N, ...)` items.
        labels: `(N,) int64` classes; -1 where there is none.
        augment: Variation of each.
        blend: Blending of two.
        seed: Seed of all of it.
    """

    items: Items
    labels: NDArray[np.int64]
    augment: Augment
    blend: Blend
    seed: int

    def __len__(self) -> int:
        return len(self.labels)

    def chunks(self, view: int, order: NDArray[np.int64] | None = None) -> Iterator[Chunk]:
        """Give a view's chunks.

        Args:
            view: Its number.
            order: Order of the chunks; as they are by default.
        """
        rows = self.rows(view)
        for at in range(self.chunk_count) if order is None else order:
            start = int(at) * CHUNK
            yield self._chunk(view, start, rows[start : start + CHUNK])

    def rows(self, view: int) -> NDArray[np.int64]:
        """Return `(N,)` which item is at each place of a view."""
        return _generator(self.seed, view).permutation(len(self))

    @property
    def chunk_count(self) -> int:
        """Chunks of a view."""
        return -(-len(self) // CHUNK)

    def _chunk(self, view: int, start: int, rows: NDArray[np.int64]) -> Chunk:
        generator = _generator(self.seed, view, start)
        varying = torch.Generator().manual_seed(int(generator.integers(2**62)))
        # Sorted rows are read from disk in order.
        back = np.argsort(np.argsort(rows))
        items = augment(np.asarray(self.items[np.sort(rows)])[back], self.augment, varying)
        labels = self.labels[rows]
        other = np.roll(np.arange(len(rows)), 1)
        items, shares = blended(items, items[other], self.blend, generator)
        return Chunk(start, items, labels, labels[other], shares)


def blended(
    own: Items, other: Items, blend: Blend, generator: np.random.Generator
) -> tuple[Items, NDArray[np.float32]]:
    """Blend items pair by pair.

    Args:
        own: `(n, ...)` items; pictures are `(n, H, W, C)`.
        other: What to blend in, of the same shape.
        blend: How.
        generator: Source of randomness.

    Returns:
        The blended items, rounded to the dtype where it is an integer, and the `(n,) float32` share of
        `own` in each.
    """
    count, shares = len(own), np.ones(len(own), np.float32)
    if not (blend.mixup or blend.cutmix):
        return own, shares
    both = bool(blend.mixup and blend.cutmix)
    pasting = generator.random(count) < 0.5 if both else np.full(count, bool(blend.cutmix))
    result = own.copy()
    if blend.mixup:
        lam = generator.beta(blend.mixup, blend.mixup, count).astype(np.float32)
        # The larger share is the item's own, so that its label stays the likelier one.
        shares = np.maximum(lam, 1 - lam)
        result = _mixed(own, other, shares)
    if blend.cutmix:
        mask = _rectangles(own.shape[1:3], generator.beta(blend.cutmix, blend.cutmix, count), generator)
        mask &= pasting[:, None, None]
        pasted = np.where(mask[..., None], other, own)
        result = np.where(pasting[:, None, None, None], pasted, result)
        shares = np.where(pasting, 1 - mask.mean((1, 2), dtype=np.float32), shares).astype(np.float32)
    return result, shares


def _mixed(own: Items, other: Items, shares: NDArray[np.float32]) -> Items:
    share = shares.reshape(-1, *(1,) * (own.ndim - 1))
    mixed = share * own + (1 - share) * other
    result: Items = (np.rint(mixed) if np.issubdtype(own.dtype, np.integer) else mixed).astype(own.dtype)
    return result


def _rectangles(
    size: tuple[int, ...], keep: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return `(n, H, W)` masks of rectangles of relative area `1 - keep`, cut off at the border."""
    masks = []
    for axis in range(2):
        length = size[axis]
        half = length * np.sqrt(1 - keep) / 2
        centre = generator.uniform(0, length, len(keep))
        places = np.arange(length) + 0.5
        masks.append(np.abs(places - centre[:, None]) < half[:, None])
    result: NDArray[np.bool_] = masks[0][:, :, None] & masks[1][:, None, :]
    return result


def _generator(*parts: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(parts))
