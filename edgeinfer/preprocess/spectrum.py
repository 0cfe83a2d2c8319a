"""Waveforms to log-mel spectra and MFCC (Davis and Mermelstein 1980), in float64 until the end."""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeinfer.bundle import LogMel, band_edges

Spectrum = NDArray[np.float64]


def log_mel(samples: NDArray[np.int16], step: LogMel, rate: int) -> Spectrum:
    """Return `(frames, mels)` natural logarithms of the power in each band; see docs/bundle-format.md.

    Args:
        samples: `(T,) int16`.
        step: The frames, the transform and the bands.
        rate: Samples a second.
    """
    frames = sliding_window_view(samples, step.window)[:: step.hop] * _taper(step.window, step.taper)
    transformed = np.fft.rfft(frames, step.fft, axis=1)
    power = transformed.real**2 + transformed.imag**2
    result: Spectrum = np.log(np.maximum(power @ _bands(step, rate), step.floor))
    return result


def mfcc(spectrum: Spectrum, coefficients: int) -> Spectrum:
    """Return `(frames, coefficients)`: the orthonormal DCT-II of each frame, lowest coefficients first."""
    result: Spectrum = spectrum @ _cosines(spectrum.shape[1], coefficients)
    return result


@functools.lru_cache(maxsize=8)
def _taper(length: int, kind: str) -> NDArray[np.float64]:
    """Return the periodic window, with the scale from int16 to -1..1 in it: 2^-15 is exact."""
    mean = 0.5 if kind == "hann" else 0.54
    return (mean - (1 - mean) * np.cos(2 * np.pi * np.arange(length) / length)) / 32768


@functools.lru_cache(maxsize=8)
def _bands(step: LogMel, rate: int) -> NDArray[np.float64]:
    """Return `(fft // 2 + 1, mels)` triangles of height 1."""
    edges = np.array(band_edges(step))[:, None]
    at = np.arange(step.fft // 2 + 1) * rate / step.fft
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.ascontiguousarray(np.maximum(0, np.minimum(rising, falling)).T)


@functools.lru_cache(maxsize=8)
def _cosines(length: int, count: int) -> NDArray[np.float64]:
    phases = np.pi / length * (np.arange(length)[:, None] + 0.5) * np.arange(count)
    scale = np.where(np.arange(count) == 0, np.sqrt(1 / length), np.sqrt(2 / length))
    result: NDArray[np.float64] = np.cos(phases) * scale
    return result
