"""WAV files to samples: RIFF (Microsoft and IBM 1991) with PCM or IEEE float, nothing compressed.

Python's `wave` module knows no float and no 24-bit array; soundfile and SciPy read both, at the price
of a native library or 100 MB on the device. What a recorder writes needs the 60 lines below.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import SAMPLE_RATES, DecodeAudio
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess.reading import read_file

Samples = NDArray[np.int16]
MAX_CHANNELS = 32
MAX_CHUNKS = 1000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# The end of every sub-format's GUID whose first two bytes are a format tag (KSDATAFORMAT_SUBTYPE_*).
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
# What one step of int16 is in each encoding, by tag and bits.
_ENCODINGS: dict[tuple[int, int], tuple[str, float]] = {
    (_PCM, 8): ("u1", 1 / 256),
    (_PCM, 16): ("<i2", 1.0),
    (_PCM, 24): ("u1", 65536.0),
    (_PCM, 32): ("<i4", 65536.0),
    (_FLOAT, 32): ("<f4", 1 / 32768),
    (_FLOAT, 64): ("<f8", 1 / 32768),
}
_ARRAYS = {"uint8": 1 / 256, "int16": 1.0, "int32": 65536.0, "float32": 1 / 32768, "float64": 1 / 32768}


def decode_audio(source: object, step: DecodeAudio) -> tuple[Samples, int]:
    """Return the recording as `(T,) int16` with its channels averaged, and its own rate.

    Args:
        source: Path or bytes of a WAV file, or `(samples, rate)` with samples `(T,)` or `(T, channels)`
            of uint8, int16, int32 (full scale), float32 or float64 (-1 to 1).
        step: Limits.

    Raises:
        DecodeError: It is no WAV file, is damaged, compressed, too long, or of an unusual rate.
        InputError: It is of a type that is no recording at all.
    """
    if isinstance(source, tuple):
        return _from_array(source, step)
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "the recording", bytes(source)
        if len(data) > step.max_bytes:
            raise DecodeError(f"{name} is too large", found=f"{len(data)} bytes", expected=step.max_bytes)
    elif isinstance(source, str | os.PathLike):
        name, data = str(source), read_file(source, "recording", step.max_bytes)
    else:
        raise InputError(
            "this is no recording",
            found=type(source).__name__,
            expected="a path, the bytes of a WAV file, or (samples, rate)",
        )
    header, body = _chunks(name, data)
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", header)
    if tag == _EXTENSIBLE and len(header) >= 40 and header[26:40] == _GUID_TAIL:
        tag = struct.unpack_from("<H", header, 24)[0]
    if (tag, bits) not in _ENCODINGS:
        raise DecodeError(
            f"{name} holds no plain samples",
            found=f"format {tag}, {bits} bits",
            expected="PCM of 8, 16, 24 or 32 bits, or float of 32 or 64",
            next_step="convert it to 16-bit PCM",
        )
    if not 1 <= channels <= MAX_CHANNELS or block != channels * bits // 8:
        raise DecodeError(
            f"{name} is damaged",
            found=f"{channels} channels in {block} bytes",
            expected=f"1 to {MAX_CHANNELS} of {bits} bits",
        )
    count = len(body) // block
    _check_length(name, count, rate, step)
    kind, unit = _ENCODINGS[tag, bits]
    values: NDArray[Any] = np.frombuffer(body, kind, count * block // np.dtype(kind).itemsize)
    if bits == 24:
        values = _widened(values)
    return _mixed(name, values.reshape(count, channels), unit), rate


def _chunks(name: str, data: bytes) -> tuple[bytes, memoryview]:
    """Return the content of the chunks `fmt ` and `data`."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise DecodeError(
            f"{name} is no WAV file",
            found=f"{len(data)} bytes that begin with {data[:12]!r}",
            next_step="convert it to WAV",
        )
    header = b""
    for kind, size, start in _found(data):
        there = len(data) - start
        if size > there and kind in (b"fmt ", b"data"):
            raise DecodeError(
                f"{name} is cut short", found=f"{there} bytes", expected=f"{size} of chunk {kind!r}"
            )
        if kind == b"fmt ":
            header = data[start : start + size]
        if kind == b"data" and len(header) >= 16:
            return header, memoryview(data)[start : start + size]
    raise DecodeError(f"{name} is damaged", found="no format before samples", next_step="record it again")


def _found(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, stated size and start; chunks begin at even places."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, size, at + 8
        at += 8 + size + size % 2


def _from_array(source: tuple[Any, ...], step: DecodeAudio) -> tuple[Samples, int]:
    expected = "(samples, rate): samples (T,) or (T, channels) of " + ", ".join(_ARRAYS)
    if len(source) != 2 or not isinstance(source[0], np.ndarray):
        raise InputError("this is no recording", found=f"a tuple of {len(source)}", expected=expected)
    samples, rate = source
    good = samples.dtype.name in _ARRAYS and samples.ndim in (1, 2) and 0 not in samples.shape
    if not good or (samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS):
        raise InputError("the samples", found=f"{samples.dtype} {samples.shape}", expected=expected)
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool):
        raise InputError("the rate", found=type(rate).__name__, expected="a whole number")
    _check_length("the recording", len(samples), int(rate), step)
    values = samples.reshape(len(samples), -1)
    return _mixed("the recording", values, _ARRAYS[samples.dtype.name]), int(rate)


def _check_length(name: str, count: int, rate: int, step: DecodeAudio) -> None:
    if rate not in SAMPLE_RATES:
        raise DecodeError(
            f"{name} has an unusual rate", found=f"{rate} Hz", expected=f"one of {SAMPLE_RATES}"
        )
    if count == 0:
        raise DecodeError(f"{name} is empty", found="no samples")
    if count > step.max_seconds * rate:
        raise DecodeError(
            f"{name} is too long",
            found=f"{count / rate:.1f} s",
            expected=f"at most {step.max_seconds} s",
            next_step="cut it, or raise max_seconds in the recipe",
        )


def _widened(octets: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return 24-bit little-endian samples in the upper bytes of int32."""
    wide = np.zeros((len(octets) // 3, 4), np.uint8)
    wide[:, 1:] = octets.reshape(-1, 3)
    return wide.view("<i4")[:, 0].astype(np.int32)


def _mixed(name: str, values: NDArray[Any], unit: float) -> Samples:
    """Return the mean of `(T, channels)` in steps of int16, halves to even, clipped."""
    if values.dtype == np.int16 and values.shape[1] == 1:
        return np.ascontiguousarray(values[:, 0], np.int16)
    centre = 128.0 if values.dtype == np.uint8 else 0.0
    steps = (values.astype(np.float64) - centre) / unit
    if values.dtype.kind == "f" and not np.isfinite(steps).all():
        raise DecodeError(f"{name} is damaged", found="NaN or infinite samples", expected="numbers")
    mean = np.rint(steps.sum(axis=1) / values.shape[1])
    result: Samples = np.clip(mean, -32768, 32767).astype(np.int16)
    return result
