"""The rules of preprocessing steps: which may follow which, their limits, and what shape they make."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeinfer.bundle.all_steps import PreprocessStep
from edgeinfer.bundle.audio_steps import (
    SAMPLE_RATES,
    DecodeAudio,
    FitLength,
    LogMel,
    Mfcc,
    band_edges,
)
from edgeinfer.bundle.require import require
from edgeinfer.bundle.steps import (
    MAX_FILE_BYTES,
    CenterCrop,
    Decode,
    Layout,
    Normalize,
    Resize,
    Scale,
    channel_order,
)
from edgeinfer.bundle.table_steps import Category, Numeric, Row

# Above twice its limit Pillow refuses a picture by itself, whatever we declare.
MAX_PIXELS = 178_956_970
MAX_OVERSAMPLING = 64
_MAX_SAMPLES = 2**22
# A spectrum of so many values takes 128 MiB while it is made.
_MOST_SPECTRUM = 2**24
_MOST_VALUES = 65_536
# Beyond this, float32 arithmetic on preprocessed values is no longer of use to anyone.
_LARGE = 1e6
_HUGE = 1e30
# By kind of input: the order of its steps, and those that it cannot do without.
_ORDERS: dict[type, tuple[dict[type, int], tuple[type, ...]]] = {
    Decode: ({Decode: 0, Resize: 1, CenterCrop: 1, Scale: 2, Normalize: 3, Layout: 4}, ()),
    DecodeAudio: (
        {DecodeAudio: 0, FitLength: 1, LogMel: 2, Mfcc: 3, Scale: 4, Normalize: 5},
        (FitLength,),
    ),
    Row: ({Row: 0}, ()),
}
_RULE = (
    "decode, any of resize and center_crop, scale, normalize, layout; or decode_audio, fit_length, log_mel, "
    "mfcc, scale, normalize; or row; in this order, each at most once"
)
Shape = tuple[int | None, ...]


def check_steps(where: str, steps: Sequence[PreprocessStep]) -> Shape:
    """Return the shape that the steps make of one item; None where it depends on the picture.

    Raises:
        ManifestError: They cannot be executed in this order, or a value is out of range.
    """
    require(steps, f"{where}.preprocess", "no steps", _RULE)
    _check_order(where, steps)
    for step in steps:
        _check_alone(f"{where}.{step.op}", step)
    shape = _shape(where, steps)
    for step in steps:
        if isinstance(step, Normalize):
            _check_normalize(f"{where}.normalize", step, steps[0], shape)
    return shape


def tensor_shape(steps: Sequence[PreprocessStep]) -> Shape:
    """Return the shape that valid steps make of one item; None where it depends on the picture.

    Raises:
        ManifestError: The steps are not valid.
    """
    return check_steps("preprocess", steps)


def _check_order(where: str, steps: Sequence[PreprocessStep]) -> None:
    names = ", ".join(step.op for step in steps)
    order, needed = _ORDERS.get(type(steps[0]), ({}, ()))
    kinds = [type(step) for step in steps]
    stages = [order.get(kind, -1) for kind in kinds]
    once = all(kinds.count(kind) == 1 for kind in kinds if kind not in (Resize, CenterCrop))
    good = bool(order) and -1 not in stages and stages == sorted(stages) and once
    good = good and all(kind in kinds for kind in needed) and (Mfcc not in kinds or LogMel in kinds)
    require(good, f"{where}.preprocess", names, _RULE)
    if isinstance(steps[0], Decode) and steps[0].jpeg_oversampling is not None:
        scaled = len(steps) > 1 and isinstance(steps[1], Resize)
        require(scaled, f"{where}.preprocess", names, "a resize behind a decode with jpeg_oversampling")


def _check_alone(where: str, step: PreprocessStep) -> None:
    if isinstance(step, Decode):
        good = 0 < step.max_pixels <= MAX_PIXELS
        require(good, where, step.max_pixels, f"max_pixels of 1 to {MAX_PIXELS}")
        require(0 <= step.background <= 255, where, step.background, "a background of 0 to 255")
        _check_oversampling(where, step.jpeg_oversampling)
    if isinstance(step, Scale):
        good = 1 / _LARGE < abs(step.factor) < _LARGE and abs(step.offset) < _LARGE
        require(good, where, f"{step}", "a factor between 1e-6 and 1e6")
    if isinstance(step, Resize | CenterCrop):
        good = 0 < step.height <= 16384 and 0 < step.width <= 16384
        require(good, where, f"{step.height}x{step.width}", "1 to 16384 a side")
    if isinstance(step, Resize):
        require(0 <= step.fill <= 255, where, step.fill, "a fill of 0 to 255")
    if isinstance(step, DecodeAudio):
        require(step.rate in SAMPLE_RATES, where, step.rate, f"a rate among {SAMPLE_RATES}")
        require(0 < step.max_seconds <= 3600, where, step.max_seconds, "max_seconds of at most 3600")
        good = 0 < step.max_bytes <= MAX_FILE_BYTES
        require(good, where, step.max_bytes, f"max_bytes of 1 to {MAX_FILE_BYTES}")
    if isinstance(step, FitLength):
        require(0 < step.samples <= _MAX_SAMPLES, where, step.samples, f"1 to {_MAX_SAMPLES} samples")
    if isinstance(step, LogMel):
        _check_log_mel(where, step)
    if isinstance(step, Row):
        _check_row(where, step)


def _check_oversampling(where: str, wanted: int | None) -> None:
    good = wanted is None or 1 <= wanted <= MAX_OVERSAMPLING
    require(good, where, wanted, f"a jpeg_oversampling of 1 to {MAX_OVERSAMPLING}, or none")


def _check_log_mel(where: str, step: LogMel) -> None:
    good = step.hop > 0 and 1 < step.window <= step.fft <= 16384 and step.hop <= 16384
    require(good, where, f"{step}", "1 < window <= fft <= 16384 and a hop of 1 to 16384")
    require(0 < step.mels <= 512, where, step.mels, "1 to 512 bands")
    require(1e-30 < step.floor <= 1, where, step.floor, "a floor above 1e-30, at most 1")


def _check_bands(where: str, step: LogMel, rate: int, samples: int) -> None:
    good = 0 <= step.low_hz < step.high_hz <= rate / 2
    require(good, where, f"{step.low_hz} to {step.high_hz} Hz", f"rising, within 0 to {rate / 2} Hz")
    edges = band_edges(step)
    for low, high in zip(edges, edges[2:], strict=False):
        inside = (math.floor(low * step.fft / rate) + 1) * rate / step.fft < high
        require(
            inside, where, f"no frequency of the transform from {low:.1f} to {high:.1f} Hz", "fewer bands"
        )
    frames = step.frames(samples)
    require(frames > 0, where, f"{samples} samples", f"at least one window of {step.window}")
    most = _MOST_SPECTRUM // step.fft
    require(frames <= most, where, f"{frames} frames", f"at most {most} of a transform of {step.fft}")


def _check_row(where: str, step: Row) -> None:
    require(step.columns, where, "no columns", "at least one column")
    names = [each.name for each in step.columns]
    require(len(set(names)) == len(names), where, "a column name twice", "unique names")
    for each in step.columns:
        _check_column(f"{where}.{each.name}", each, step.missing)
    require(step.width <= _MOST_VALUES, where, f"{step.width} values", f"at most {_MOST_VALUES}")


def _check_column(where: str, column: Numeric | Category, missing: tuple[str, ...]) -> None:
    if isinstance(column, Numeric):
        good = abs(column.mean) < _HUGE and 1 / _HUGE < column.scale < _HUGE
        good = good and (column.fill is None or abs(column.fill) < _HUGE)
        require(good, where, f"{column}", "a scale between 1e-30 and 1e30, mean and fill within 1e30")
        return
    words = column.vocabulary
    require(words, where, "no words", "a vocabulary")
    require(len(set(words)) == len(words), where, "a word twice", "unique words")
    clean = all(word == word.strip(" \t\n") and word not in missing for word in words)
    require(clean, where, list(words), "words without blanks around them that do not mean missing")


def _check_normalize(where: str, step: Normalize, first: PreprocessStep, shape: Shape) -> None:
    channels = 3 if isinstance(first, Decode) and first.color == "RGB" else 1
    lengths = (channels,) if isinstance(first, Decode) else (1, shape[-1])
    good = len(step.mean) == len(step.std) and len(step.mean) in lengths
    good = good and all(abs(value) < _LARGE for value in step.mean)
    good = good and all(1 / _LARGE < value < _LARGE for value in step.std)
    count = " or ".join(str(length) for length in dict.fromkeys(lengths))
    require(good, where, f"{step}", f"{count} means and as many std between 1e-6 and 1e6")


def _shape(where: str, steps: Sequence[PreprocessStep]) -> Shape:
    first = steps[0]
    if isinstance(first, Row):
        return (first.width,)
    if isinstance(first, DecodeAudio):
        return _audio_shape(where, steps, first.rate)
    assert isinstance(first, Decode), "_check_order"
    height: int | None = None
    width: int | None = None
    for step in steps:
        if isinstance(step, Resize | CenterCrop):
            height, width = step.height, step.width
    channels = 3 if first.color == "RGB" else 1
    return (channels, height, width) if channel_order(steps) == "CHW" else (height, width, channels)


def _audio_shape(where: str, steps: Sequence[PreprocessStep], rate: int) -> Shape:
    shape: tuple[int, ...] = ()
    for step in steps:
        if isinstance(step, FitLength):
            shape = (step.samples,)
        if isinstance(step, LogMel):
            _check_bands(f"{where}.log_mel", step, rate, shape[0])
            shape = (1, step.frames(shape[0]), step.mels)
        if isinstance(step, Mfcc):
            good = 0 < step.coefficients <= shape[-1]
            require(good, f"{where}.mfcc", step.coefficients, f"1 to {shape[-1]} coefficients")
            shape = (*shape[:-1], step.coefficients)
    return shape
