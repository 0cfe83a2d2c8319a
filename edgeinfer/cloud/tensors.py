"""Tensors as the Open Inference Protocol carries them: its datatypes in numpy, in JSON and as bytes.

Sources: the Open Inference Protocol's `inference_rest.md` (tensor data types and their JSON), and Triton's
`extension_binary_data.md` (little-endian values in row-major order; BYTES as a 4-byte length before each element).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import numpy as np

from edgeinfer.errors import CloudAnswerError, InputError
from edgeinfer.frozen import frozen

Array = np.ndarray[Any, np.dtype[Any]]
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip
DATATYPES: tuple[Datatype, ...] = get_args(Datatype)
# numpy's type per datatype: BF16 has none, and is held as float32; BYTES are objects of `bytes`.
_HELD = {
    "BOOL": "<?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<f4",
}  # fmt: skip
# Up to here a float type holds every whole number: two to the bits of its significand.
_EXACT = {"FP16": 2**11, "BF16": 2**8, "FP32": 2**24, "FP64": 2**53}
_SHOWN = 60


@frozen
class Tensor:
    """One input or output of a server's model.

    Attributes:
        name: The server's name for it.
        datatype: The protocol's type.
        value: Any shape. BF16 is held as float32, BYTES as an array of objects of `bytes`, others as their own types.
    """

    name: str
    datatype: Datatype
    value: Array


def held(value: Array, datatype: Datatype, name: str) -> Array:
    """Return a tensor in the type that a datatype is held in, where no value is changed by it.

    Raises:
        InputError: It is of another kind, or a value does not fit.
    """
    if datatype == "BYTES":
        try:
            flat = [
                each if isinstance(each, bytes) else str(each).encode() for each in value.reshape(-1).tolist()
            ]
        except UnicodeEncodeError:
            raise InputError(
                f"tensor {name}", found="text that is no Unicode", expected="bytes or text"
            ) from None
        made = np.empty(value.size, object)
        made[:] = flat
        return made.reshape(value.shape)
    wanted = np.dtype(_HELD[datatype])
    if value.dtype == wanted:
        return value
    if value.dtype.kind not in "biuf":
        raise InputError(f"tensor {name}", found=value.dtype, expected=f"numbers for {datatype}")
    if value.size and not _fits(value, wanted, _EXACT.get(datatype, 0)):
        raise InputError(
            f"tensor {name}",
            found=f"{value.dtype} values that are none of {datatype}",
            expected=f"values of {datatype}",
        )
    return value.astype(wanted)


def _fits(value: Array, wanted: np.dtype[Any], exact: int) -> bool:
    """Whether no value is lost. Among floats rounding is what a smaller type means; becoming infinite is not."""
    low, high = value.min(), value.max()
    if wanted.kind == "b":
        return bool(np.isin(value, (0, 1)).all())
    if wanted.kind == "f":
        if value.dtype.kind != "f":
            return -exact <= int(low) and int(high) <= exact
        with np.errstate(over="ignore"):
            return bool((np.isfinite(value.astype(wanted)) == np.isfinite(value)).all())
    bounds = np.iinfo(wanted)
    if value.dtype.kind == "f":
        whole = np.isfinite(value).all() and (value == np.trunc(value)).all()
        return bool(whole) and float(low) >= bounds.min and float(high) < float(bounds.max) + 1.0
    return int(low) >= bounds.min and int(high) <= bounds.max


def datatype_of(dtype: object) -> Datatype:
    """Return the protocol's type of a numpy type.

    Raises:
        InputError: It has none.
    """
    wanted = np.dtype(dtype).newbyteorder("<")  # type: ignore[call-overload] # any type may be asked for
    for name in DATATYPES:
        if name in _HELD and name != "BF16" and np.dtype(_HELD[name]) == wanted:
            return name
    raise InputError("the type of a tensor", found=dtype, expected=f"one of {', '.join(DATATYPES)}")


def to_bytes(tensor: Tensor) -> bytes:
    """Return a tensor as the binary extension carries it."""
    value = tensor.value
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in value.reshape(-1).tolist())
    if tensor.datatype == "BF16":
        return _upper_halves(value).tobytes()
    return np.ascontiguousarray(value, np.dtype(_HELD[tensor.datatype])).tobytes()


def from_bytes(data: bytes | memoryview, name: str, datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor that the binary extension carried.

    Raises:
        CloudAnswerError: There are more or fewer bytes than the shape needs.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        elements = list(_elements(data, name))
        if len(elements) != count:
            raise _other_length(name, f"{len(elements)} elements", shape)
        value = np.empty(count, object)
        value[:] = elements
        return Tensor(name, datatype, value.reshape(shape))
    stored = np.dtype("<u2" if datatype == "BF16" else _HELD[datatype])
    if len(data) != count * stored.itemsize:
        raise _other_length(name, f"{len(data)} bytes", shape)
    value = np.frombuffer(data, stored)
    if datatype == "BF16":
        value = (value.astype("<u4") << 16).view("<f4")
    return Tensor(name, datatype, value.reshape(shape))


def to_json(tensor: Tensor) -> list[Any]:
    """Return a tensor's values as JSON carries them, flat in row-major order.

    Raises:
        InputError: Bytes that are no UTF-8, NaN or infinity: JSON has no way to carry them.
    """
    flat = tensor.value.reshape(-1)
    if tensor.datatype == "BYTES":
        try:
            return [each.decode() for each in flat.tolist()]
        except UnicodeDecodeError as error:
            raise InputError(
                f"tensor {tensor.name} holds bytes that are no text, and this server takes JSON alone",
                next_step="serve the model with a server that knows the binary extension",
            ) from error
    if tensor.datatype == "BF16":
        flat = _rounded(flat)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise InputError(f"tensor {tensor.name} holds NaN or infinite values, which JSON cannot carry")
    values: list[Any] = flat.tolist()
    return values


def from_json(data: object, name: str, datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor that JSON carried: flat, or nested as its shape is; servers do either.

    Raises:
        CloudAnswerError: The values are of another kind or number.
    """
    flat = list(_flattened(data, name, shape))
    if len(flat) != math.prod(shape):
        raise _other_length(name, f"{len(flat)} values", shape)
    if not all(map(_CHECKS.get(datatype, _is_number), flat)):
        raise _other(name, "other values", datatype)
    if datatype == "BYTES":
        value = np.empty(len(flat), object)
        try:
            value[:] = [str(each).encode() for each in flat]
        except UnicodeEncodeError:
            raise _other(name, "text that is no Unicode", datatype) from None
    else:
        value = _numbers(flat, name, datatype)
    return Tensor(name, datatype, value.reshape(shape))


def _numbers(flat: list[Any], name: str, datatype: Datatype) -> Array:
    kind = np.dtype(_HELD[datatype])
    if kind.kind in "iu" and flat:
        bounds = np.iinfo(kind)
        if min(flat) < bounds.min or max(flat) > bounds.max:
            raise _other(name, "values out of range", datatype)
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, kind)
    except (OverflowError, ValueError):
        raise _other(name, "values out of range", datatype) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[object], bool]] = {
    "BOOL": lambda value: isinstance(value, bool),
    "BYTES": lambda value: isinstance(value, str),
    **{name: _is_whole for name in DATATYPES if "INT" in name},
}


def _flattened(data: object, name: str, shape: tuple[int, ...]) -> Iterator[object]:
    if not isinstance(data, list):
        raise _other(name, type(data).__name__, "a list")
    if any(isinstance(each, list) for each in data):
        yield from _nested(data, name, shape)
    else:
        yield from data


def _nested(data: object, name: str, shape: tuple[int, ...]) -> Iterator[object]:
    """Yield the values of lists in lists that are as long as the shape says."""
    if not isinstance(data, list) or not shape or len(data) != shape[0]:
        raise _other(name, "lists of other lengths", f"lists of its shape {list(shape)}")
    if len(shape) == 1:
        yield from data
    else:
        for each in data:
            yield from _nested(each, name, shape[1:])


def _elements(data: bytes | memoryview, name: str) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        head = data[at : at + 4]
        length = struct.unpack("<I", head)[0] if len(head) == 4 else 0
        at += 4 + length
        if len(head) < 4 or at > len(data):
            raise _other(name, "BYTES that were cut off", "whole elements")
        yield bytes(data[at - length : at])


def _upper_halves(value: Array) -> Array:
    """Return float32 as bfloat16's bits: rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(value, "<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(value), (bits >> 16) | 0x40, rounded).astype("<u2")


def _rounded(value: Array) -> Array:
    return (_upper_halves(value).astype("<u4") << 16).view("<f4")


def _other_length(name: str, found: str, shape: tuple[int, ...]) -> CloudAnswerError:
    return _other(name, found, f"as many as its shape {list(shape)} needs")


def _other(name: str, found: str, expected: str) -> CloudAnswerError:
    return CloudAnswerError(f"output {name[:_SHOWN]} of the cloud's answer", found=found, expected=expected)
