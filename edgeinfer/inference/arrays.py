"""Arrays from a caller, held against what the manifest declares before an engine sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgeinfer.bundle import Input
from edgeinfer.engines.seam import Array
from edgeinfer.errors import InputError

# Above this OpenBLAS would split a product among threads of its own.
_SMALL = 8192


class ArrayCheck:
    """Checks the arrays of one model, call after call: what is right passes in half a microsecond.

    Args:
        declared: The manifest's inputs.
    """

    def __init__(self, declared: Sequence[Input]) -> None:
        self._declared = declared
        self._names = len(declared)
        self._plain = [
            (each.name, np.dtype(each.dtype), len(each.shape), each.shape[1:], each.dtype.startswith("float"))
            for each in declared
            # What else a shape may hold, a name behind the batch or a fixed batch, the slow check knows.
            if isinstance(each.shape[0], str) and all(isinstance(axis, int) for axis in each.shape[1:])
        ]
        self._simple = len(self._plain) == self._names

    def __call__(self, inputs: Mapping[str, Array]) -> int:
        """Return the number of items in the batch.

        Raises:
            InputError: Something differs from the manifest, or a value is NaN or infinite.
        """
        if self._simple and type(inputs) is dict and len(inputs) == self._names:
            count = -1
            for name, dtype, axes, tail, is_float in self._plain:
                value = inputs.get(name)
                if type(value) is not np.ndarray or value.dtype is not dtype or value.ndim != axes:
                    break
                shape = value.shape
                if shape[1:] != tail or shape[0] == 0 or count not in (-1, shape[0]):
                    break
                if is_float and not _finite(value):
                    break
                count = shape[0]
            else:
                return count
        return check_arrays(inputs, self._declared)


def _finite(value: Array) -> bool:
    """Whether all values are finite; may say no where they are so large that their squares are not."""
    if value.size > _SMALL or not value.flags.c_contiguous:
        return bool(np.isfinite(value).all())
    flat = value.reshape(-1)
    # One pass through the linear algebra library: any NaN or infinity makes the sum of squares one.
    return math.isfinite(flat.dot(flat))


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
