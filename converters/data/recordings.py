"""Seeded variation of recordings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from converters.recipe import Augment

Samples = NDArray[np.int16]
Waves = NDArray[np.float32]
# Noise is between the least level below a recording that was asked for, and so much further below.
_SNR_SPAN_DB = 20.0


def vary_recordings(items: Samples, how: Augment, generator: torch.Generator) -> Samples:
    """Vary a batch; the same generator state gives the same recordings.

    Args:
        items: `(N, samples) int16`, never changed.
        how: Largest variation of each kind; each recording gets its own, uniform within it.
        generator: Source of randomness, on the CPU.

    Returns:
        `(N, samples) int16`. Silence comes in from outside, and what is too loud is clipped.
    """
    if not any((how.speed, how.shift, how.gap, how.gain_db, how.noise)):
        return items.copy()
    waves = _moved(items, how, generator) if how.speed or how.shift else items.astype(np.float32)
    if how.gap:
        _silence(waves, how.gap, generator)
    if how.gain_db:
        waves *= 10 ** (how.gain_db / 20 * (2 * _uniform(len(items), generator) - 1))
    if how.noise:
        _add_noise(waves, how, generator)
    result: Samples = np.clip(np.rint(waves), -32768, 32767).astype(np.int16)
    return result


def _moved(items: Samples, how: Augment, generator: torch.Generator) -> Waves:
    """Play each recording faster or slower from its beginning, and earlier or later, between samples linearly."""
    count, length = items.shape
    speed = 1 + how.speed * (2 * _uniform(count, generator) - 1)
    later = np.rint(how.shift * length * (2 * _uniform(count, generator) - 1))
    places = (np.arange(length, dtype=np.float32) - later) * speed
    first = np.floor(places).astype(np.int64)
    share = (places - first).astype(np.float32)
    # A silent sample on each side stands for all that lies outside.
    padded = np.zeros((count, length + 2), np.float32)
    padded[:, 1:-1] = items
    left = np.take_along_axis(padded, np.clip(first + 1, 0, length + 1), axis=1)
    if not how.speed:
        return left
    right = np.take_along_axis(padded, np.clip(first + 2, 0, length + 1), axis=1)
    moved: Waves = left + share * (right - left)
    return moved


def _silence(waves: Waves, most: float, generator: torch.Generator) -> None:
    count, length = waves.shape
    wide = most * length * _uniform(count, generator)
    start = (length - wide) * _uniform(count, generator)
    at = np.arange(length)
    waves[(at >= start) & (at < start + wide)] = 0


def _add_noise(waves: Waves, how: Augment, generator: torch.Generator) -> None:
    """Add white noise so far below the mean power of what is not silent."""
    count, length = waves.shape
    chosen = _uniform(count, generator) < how.noise
    level = 10 ** (-(how.snr_db + _SNR_SPAN_DB * _uniform(count, generator)) / 20)
    sounding = np.maximum(1, np.count_nonzero(waves, axis=1, keepdims=True))
    power = np.einsum("nt,nt->n", waves, waves)[:, None] / sounding
    noise = torch.randn(count, length, generator=generator).numpy()
    waves += noise * np.where(chosen, np.sqrt(power) * level, 0).astype(np.float32)


def _uniform(count: int, generator: torch.Generator) -> Waves:
    """Return `(N, 1)` values in 0..1."""
    values: Waves = torch.rand(count, 1, generator=generator).numpy()
    return values
