"""Golden inputs: synthetic sources whose outputs a device must reproduce. Never training data."""

from __future__ import annotations

import io
import json

import numpy as np

from converters.package.golden_pictures import golden_picture
from converters.recipe import AudioInput, ImageInput, Input, TableInput
from edgeinfer.bundle import Numeric

CASES = 8
# Larger than the input, and not its multiple, so that resizing is tested too.
_FACTOR = 2.7
_SIDE = 24
# Longer than the input by this share, or shorter, so that fitting the length is tested too.
_LENGTHS = (1.3, 0.7)


def golden_sources(input_: Input) -> list[bytes]:
    """Return `CASES` encoded sources for an input: pictures (PNG), recordings (WAV) or rows (JSON)."""
    if isinstance(input_, ImageInput):
        height, width = (max(_SIDE, round(side * _FACTOR)) for side in (input_.height, input_.width))
        return [golden_picture(case, height, width, input_.channels) for case in range(CASES)]
    if isinstance(input_, AudioInput):
        return [_wav(case, input_) for case in range(CASES)]
    return [_row(case, input_) for case in range(CASES)]


def golden_origin(input_: Input) -> str:
    """Return where the sources come from, for the manifest."""
    made = {
        "image": "gradients, stripes, discs and coarse noise",
        "audio": "chirps, tones, clicks and noise",
        "table": "values around the columns' means and words of their vocabularies",
    }
    return f"synthetic: seeded {made[input_.kind]}, made by edgeinfer"


def _wav(case: int, input_: AudioInput) -> bytes:
    """Return a recording; among the cases are other rates, two channels, and float samples."""
    from scipy.io import wavfile

    generator = np.random.default_rng(case)
    rate = (input_.rate, 22_050, input_.rate, 16_000)[case % 4]
    count = round(rate * min(input_.seconds * _LENGTHS[case // 4], input_.max_seconds))
    time = np.arange(count) / rate
    low, high = generator.uniform(0.02, 0.1) * input_.rate, generator.uniform(0.15, 0.4) * input_.rate
    chirp = np.sin(2 * np.pi * (low * time + (high - low) / (2 * time[-1] + 1e-9) * time**2))
    tones = np.sin(2 * np.pi * low * time) * 0.6 + np.sin(2 * np.pi * high * time) * 0.3
    clicks = np.where(time % 0.1 < 0.002, 0.9, 0.0) + 0.01 * chirp
    noise = generator.normal(0, 0.15, count)
    wave = 0.8 * np.stack((chirp, tones + 0.1 * noise, clicks, noise))[case % 4]
    if case % 4 == 1:
        wave = np.stack((wave, 0.5 * np.roll(wave, 30)), axis=1)
    samples = wave.astype(np.float32) if case % 4 == 3 else np.rint(wave * 32000).astype(np.int16)
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


def _row(case: int, input_: TableInput) -> bytes:
    generator = np.random.default_rng(case)
    assert input_.fitted is not None, "the data step comes first"
    row: dict[str, object] = {}
    for column in input_.fitted.columns:
        missing = generator.random() < 0.1
        if isinstance(column, Numeric):
            value = column.mean + column.scale * float(np.round(generator.normal(0, 1.2), 3))
            row[column.name] = None if missing and column.fill is not None else value
        else:
            at = int(generator.integers(len(column.vocabulary)))
            row[column.name] = None if missing and column.unknown else column.vocabulary[at]
    return json.dumps(row, ensure_ascii=False).encode()
