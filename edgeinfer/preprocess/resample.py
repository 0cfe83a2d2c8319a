"""Waveforms from one rate to another, and to a fixed length.

A windowed sinc in whole numbers (J. O. Smith, Digital Audio Resampling), so that every machine and
language gives the same samples: products and sums stay below 2^53, and are exact in float64 in any order.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import FitLength

Samples = NDArray[np.int16]
ZEROS = 32
ROLLOFF = 0.95
_BITS = 22
# Doubles in one block of windows: 8 MB, however long the recording is.
_BLOCK = 2**20


def resample(samples: Samples, source: int, target: int) -> Samples:
    """Return `(ceil(T * target / source),) int16` at the target rate; see docs/bundle-format.md.

    Args:
        samples: `(T,) int16`.
        source: Rate of the samples, one of `SAMPLE_RATES`.
        target: Rate wanted, one of `SAMPLE_RATES`.
    """
    if source == target:
        return samples
    shared = math.gcd(source, target)
    up, down = target // shared, source // shared
    taps = _taps(up, down)
    wanted = -(-len(samples) * up // down)
    blocks = -(-wanted // up)
    reach = (len(taps) - down - 1) // 2
    padded = np.zeros((blocks - 1) * down + len(taps))
    padded[reach : reach + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps))[::down]
    step = max(1, _BLOCK // len(taps))
    sums = np.concatenate([windows[at : at + step] @ taps for at in range(0, blocks, step)])
    rounded = np.floor((sums.reshape(-1)[:wanted] + 2 ** (_BITS - 1)) / 2**_BITS)
    result: Samples = np.clip(rounded, -32768, 32767).astype(np.int16)
    return result


def fit_length(samples: Samples, step: FitLength) -> Samples:
    """Return `(step.samples,) int16`, cut or filled with zeros."""
    spare = len(samples) - step.samples
    before = {"start": 0, "center": abs(spare) // 2, "end": abs(spare)}[step.place]
    if spare >= 0:
        return samples[before : before + step.samples]
    result = np.zeros(step.samples, np.int16)
    result[before : before + len(samples)] = samples
    return result


@functools.lru_cache(maxsize=4)
def _taps(up: int, down: int) -> NDArray[np.float64]:
    """Return whole weights `(down + 2 * reach + 1, up)`: column r makes output r of each block of `up`."""
    cutoff = ROLLOFF * min(1.0, up / down)
    reach = math.ceil(ZEROS / cutoff)
    taps = np.zeros((down + 2 * reach + 1, up))
    offsets = np.arange(-reach, reach + 2)
    for at in range(up):
        first, rest = divmod(at * down, up)
        x = cutoff * (rest / up - offsets)
        weights = np.where(np.abs(x) < ZEROS, np.sinc(x) * np.cos(np.pi * x / (2 * ZEROS)) ** 2, 0.0)
        shares = weights / weights.sum() * 2**_BITS
        taps[first : first + len(offsets), at] = np.copysign(np.floor(np.abs(shares) + 0.5), shares)
    return taps
