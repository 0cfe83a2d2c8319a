"""Test items as small pictures for the page beside the bundle; they are the user's data and never in it."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

# Pixels: the longer side of a picture; width and height of a spectrogram.
_SIDE, _SPECTROGRAM = 72, (96, 64)
_WINDOW, _HOP, _FLOOR_DB = 256, 128, -80.0
_SHOWN_VALUES = 8


def shown_item(item: NDArray[np.generic]) -> str:
    """Return one item as a reader recognises it: a `data:` address of a PNG, or text.

    Args:
        item: What the first half of the preprocessing makes: `(H, W, C) uint8` pixels; `(samples,) int16`
            of a recording, shown as a spectrogram with time to the right and low tones below; or
            `(columns,)` of a table, shown as its values.
    """
    if item.dtype == np.uint8 and item.ndim == 3:
        factor = _SIDE / max(item.shape[:2])
        height, width = (max(1, round(side * factor)) for side in item.shape[:2])
        return _address(np.asarray(item, np.uint8), (width, height))
    if item.dtype == np.int16 and item.ndim == 1:
        return _address(_spectrogram(item), _SPECTROGRAM)
    flat = np.ravel(item)
    text = ", ".join(f"{value:.4g}" for value in flat[:_SHOWN_VALUES])
    return text + (", …" if len(flat) > _SHOWN_VALUES else "")


def _spectrogram(samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return `(bands, frames, 1) uint8`, light where loud, 80 dB from black to white."""
    power = _stft(samples)
    scaled = np.clip((power - power.max()) / -_FLOOR_DB + 1, 0, 1)
    pixels: NDArray[np.uint8] = np.rint(scaled.T[::-1] * 255).astype(np.uint8)[:, :, None]
    return pixels


def _stft(samples: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return `(frames, bands)` power in dB (Hann window; Allen and Rabiner 1977, equation 1)."""
    values = samples.astype(np.float64)
    values = np.pad(values, (0, max(0, _WINDOW - len(values))))
    frames = np.lib.stride_tricks.sliding_window_view(values, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power: NDArray[np.float64] = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-10)
    return power


def _address(pixels: NDArray[np.uint8], size: tuple[int, int]) -> str:
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    # Enlarged pixels stay visible as such: the model saw no more.
    enlarged = size[0] >= image.width and size[1] >= image.height
    filtered = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    buffer = io.BytesIO()
    image.resize(size, filtered).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
