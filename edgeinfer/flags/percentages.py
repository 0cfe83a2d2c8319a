"""Which share of all devices something falls into: the algorithm `edge-v1`, which never changes.

It is what flagd's evaluators do since `fractional` counts in whole numbers: MurmurHash3 (x86, 32 bits, seed 0) over the
canonical CBOR of what a device is told apart by, times the sum of the weights, shifted right by 32 bits.

It is written out here, and held by vectors in tests/unit/test_percentages.py, since a device must not move when a
library does: between two releases of one, 17.7% of devices changed their variant. Another algorithm gets another name.

Sources: A. Appleby, MurmurHash3 (smhasher, `MurmurHash3_x86_32`); RFC 8949, Concise Binary Object Representation,
sections 3 and 4.2.3 (length-first order of keys), as RFC 7049 section 3.9 had it; flagd, "Fractional Operation".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

ALGORITHM = "edge-v1"
MOST_WEIGHT = 2**31 - 1
POSITIONS = 2**32
_WORD = 0xFFFFFFFF
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = (kind << 5 for kind in range(7))
_POSITIVE_BIG, _NEGATIVE_BIG = 2, 3
_FALSE, _TRUE, _NULL, _NAN = b"\xf4", b"\xf5", b"\xf6", b"\xf9\x7e\x00"


def chosen(value: object, weights: Sequence[int]) -> int | None:
    """Return the index of the share that a value falls into.

    Args:
        value: What tells devices apart: text, a number, or a list of such.
        weights: Of each share; one below 0 counts as 0.

    Returns:
        None where the weights sum to 0, or to more than 2^31 - 1.

    Raises:
        ValueError: The value cannot be written as CBOR.
    """
    return chosen_at(position_of(value), weights)


def chosen_at(position: int, weights: Sequence[int]) -> int | None:
    """Return the index of the share that a position falls into, as `chosen` does for a value."""
    total = sum(max(0, each) for each in weights)
    if not 0 < total <= MOST_WEIGHT:
        return None
    place = (position * total) >> 32
    for index, weight in enumerate(weights):
        place -= max(0, weight)
        if place < 0:
            return index
    raise AssertionError("a bucket is below the sum of the weights")


def bucket(value: object, total: int) -> int:
    """Return a whole number in 0..total-1, evenly spread over values.

    Raises:
        ValueError: The value cannot be written as CBOR.
    """
    return (position_of(value) * total) >> 32


def position_of(value: object) -> int:
    """Return where a value stands on the line of shares, whatever their weights: a whole number below `POSITIONS`.

    Raises:
        ValueError: The value cannot be written as CBOR.
    """
    return murmur3(cbor(value))


def murmur3(data: bytes) -> int:
    """Return MurmurHash3 of some bytes: x86, 32 bits, seed 0."""
    end, hashed = len(data) & ~3, 0
    for (word,) in struct.iter_unpack("<I", data[:end]):
        hashed ^= _mixed(word)
        hashed = ((hashed << 13) | (hashed >> 19)) & _WORD
        hashed = (hashed * 5 + 0xE6546B64) & _WORD
    hashed ^= _mixed(int.from_bytes(data[end:], "little"))
    hashed ^= len(data)
    hashed = ((hashed ^ (hashed >> 16)) * 0x85EBCA6B) & _WORD
    hashed = ((hashed ^ (hashed >> 13)) * 0xC2B2AE35) & _WORD
    return hashed ^ (hashed >> 16)


def _mixed(word: int) -> int:
    word = (word * 0xCC9E2D51) & _WORD
    return (((word << 15) | (word >> 17)) * 0x1B873593) & _WORD


def cbor(value: object) -> bytes:
    """Return a value's canonical CBOR; a float without a fraction is written as the whole number, as flagd does.

    Raises:
        ValueError: It is none that JSON has, or text with half of a surrogate pair.
    """
    if value is None or isinstance(value, bool):
        return _NULL if value is None else _TRUE if value else _FALSE
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        fits = value.is_integer() and -(2.0**63) <= value < 2.0**64
        return _whole(int(value)) if fits else _fraction(value)
    if isinstance(value, str):
        text = value.encode()
        return _head(_TEXT, len(text)) + text
    if isinstance(value, Mapping):
        pairs = sorted(((cbor(key), cbor(each)) for key, each in value.items()), key=_length_first)
        return _head(_MAP, len(pairs)) + b"".join(key + each for key, each in pairs)
    if isinstance(value, list | tuple):
        return _head(_ARRAY, len(value)) + b"".join(map(cbor, value))
    raise ValueError(f"{type(value).__name__} is no type of JSON")


def _length_first(pair: tuple[bytes, bytes]) -> tuple[int, bytes]:
    return len(pair[0]), pair[0]


def _whole(value: int) -> bytes:
    kind, big, size = (
        (_UNSIGNED, _POSITIVE_BIG, value) if value >= 0 else (_NEGATIVE, _NEGATIVE_BIG, -1 - value)
    )
    if size < 2**64:
        return _head(kind, size)
    written = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return _head(_TAG, big) + _head(_BYTES, len(written)) + written


def _fraction(value: float) -> bytes:
    """Return the shortest of the three floats that holds a value."""
    if math.isnan(value):
        return _NAN
    for first, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            written = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, written)[0] == value:
            return first + written
    return b"\xfb" + struct.pack(">d", value)


def _head(kind: int, size: int) -> bytes:
    if size < 24:
        return bytes([kind | size])
    for more, length in ((24, 1), (25, 2), (26, 4)):
        if size < 1 << (8 * length):
            return bytes([kind | more]) + size.to_bytes(length, "big")
    return bytes([kind | 27]) + size.to_bytes(8, "big")
