"""Arrays from a caller, held against what the manifest declares before an engine sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeinfer.bundle import Input
from edgeinfer.engines.seam import Array
from edgeinfer.errors import InputError

# Above this OpenBLAS would split a product among threads of its own.
_SMALL = 8192
# Up to here products of pieces are faster than a look at each value, half as long behind a run that used the caches.
_MEDIUM = 4 * _SMALL
_product: Any = np.vdot
_is_finite = math.isfinite


def array_check(declared: Sequence[Input]) -> Callable[[Mapping[str, Array]], int]:
    """Return what checks the arrays of one model, call after call, as `check_arrays` does.

    For a model with one input and a free batch, what is right passes in a microsecond.
    """
    first = declared[0]
    tail = first.shape[1:]
    if (
        len(declared) > 1
        or isinstance(first.shape[0], int)
        or not all(isinstance(each, int) for each in tail)
    ):
        return lambda inputs: check_arrays(inputs, declared)
    name, dtype, one = first.name, np.dtype(first.dtype), (1, *tail)
    axes, is_float = len(first.shape), dtype.kind == "f"
    array = np.ndarray  # looked up once: each look costs as much as a comparison

    def check(inputs: Mapping[str, Array]) -> int:
        try:
            value = inputs[name]
            if type(value) is array and value.dtype is dtype and len(inputs) == 1 and is_float:
                shape = value.shape
                fits = shape == one or (len(shape) == axes and shape[0] and shape[1:] == tail)
                if fits and all_finite(value):
                    return len(value)
        except (LookupError, TypeError):
            pass
        return check_arrays(inputs, declared)

    return check


def all_finite(value: Array) -> bool:
    """Whether no value is NaN or infinite; half a microsecond for a small array of floats."""
    # A sum of squares is no number where a value is none, and may overflow where all are: then each is looked at.
    size = value.size
    if size <= _SMALL:
        return _is_finite(_product(value, value)) or bool(np.isfinite(value).all())
    if size > _MEDIUM:
        return bool(np.isfinite(value).all())
    flat = value.reshape(-1)
    for start in range(0, size, _SMALL):
        piece = flat[start : start + _SMALL]
        if not _is_finite(_product(piece, piece)):
            return bool(np.isfinite(value).all())
    return True


def check_arrays(inputs: Mapping[str, Array], declared: Sequence[Input]) -> int:
    """Check names, types, shapes and values; return the number of items in the batch.

    Raises:
        InputError: Something differs from the manifest, or a value is NaN or infinite.
    """
    if not isinstance(inputs, Mapping):
        raise InputError("the inputs", found=type(inputs).__name__, expected="a dict of arrays by input name")
    names = [each.name for each in declared]
    if set(inputs) != set(names):
        raise InputError("the input names", found=sorted(map(str, inputs)), expected=sorted(names))
    for each in declared:
        _check_array(inputs[each.name], each)
    counts = {len(inputs[each.name]) for each in declared}
    if len(counts) > 1:
        raise InputError("the batch sizes of the inputs differ", found=sorted(counts), expected="one size")
    return counts.pop()


def _check_array(value: Array, declared: Input) -> None:
    where = f"input {declared.name}"
    if not isinstance(value, np.ndarray):
        raise InputError(
            where,
            found=type(value).__name__,
            expected=f"a numpy array of {declared.dtype}",
            next_step="np.asarray(value, dtype=...)",
        )
    if value.dtype != declared.dtype:
        raise InputError(
            where,
            found=value.dtype,
            expected=declared.dtype,
            next_step=f"array.astype({declared.dtype!r}), after the declared preprocessing",
        )
    fits = value.ndim == len(declared.shape) and all(
        isinstance(want, str) or got == want for got, want in zip(value.shape, declared.shape, strict=True)
    )
    if not fits or 0 in value.shape:
        raise InputError(
            f"the shape of {where}",
            found=value.shape,
            expected="(" + ", ".join(str(axis) for axis in declared.shape) + ")",
            next_step="hand in a path or picture to have it preprocessed",
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        count = int(np.count_nonzero(~np.isfinite(value)))
        raise InputError(
            f"the values of {where}",
            found=f"{count} of {value.size} are NaN or infinite",
            expected="finite numbers",
            next_step="check the source and the preprocessing",
        )
