"""Content that a manifest names by digest."""

from __future__ import annotations

from typing import Literal

from edgeinfer.frozen import frozen

DType = Literal["float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool"]


@frozen
class Blob:
    """Content by digest.

    Attributes:
        sha256: 64 lower-case hex digits.
        size: Bytes; a reader never takes more than this.
    """

    sha256: str
    size: int


@frozen
class TensorBlob:
    """A tensor stored as little-endian values in row-major order.

    Attributes:
        blob: The bytes.
        dtype: Type of one value.
        shape: Lengths of the axes; their product times the value's size is `blob.size`.
    """

    blob: Blob
    dtype: DType
    shape: tuple[int, ...]
