"""Arrays from a caller, held against what the manifest declares before an engine sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeinfer.bundle import Input
from edgeinfer.engines.seam import Array
from edgeinfer.errors import InputError


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
