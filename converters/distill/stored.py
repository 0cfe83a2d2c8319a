"""Stored answers: logits by the digest of the item that they are for."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ConversionError

_EXPECTED = "arrays sha256 (N texts of 64 hex digits) and logits (N, classes) float"


def read_stored(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return logits by item digest.

    Args:
        data: Content of an `.npz` file; see `converters.recipe.Member.logits`.

    Raises:
        ConversionError: It is no such file.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            digests, logits = arrays["sha256"], arrays["logits"]
    except Exception as error:  # numpy's and zipfile's readers raise many types
        raise ConversionError(f"cannot read the stored logits ({error})", expected=_EXPECTED) from error
    fits = digests.ndim == 1 and logits.ndim == 2 and len(digests) == len(logits)
    if not fits or digests.dtype.kind != "U" or logits.dtype.kind != "f":
        found = f"sha256 {digests.dtype} {digests.shape}, logits {logits.dtype} {logits.shape}"
        raise ConversionError("the stored logits", found=found, expected=_EXPECTED)
    with np.errstate(over="ignore"):
        answers = logits.astype(np.float32)
    if not np.isfinite(answers).all():
        found = "NaN, infinite or beyond float32"
        raise ConversionError("the stored logits", found=found, expected="finite numbers")
    return dict(zip(digests.tolist(), answers, strict=True))


def check_stored(data: bytes, classes: int) -> NDArray[np.float32]:
    """Hold stored answers against the data's classes and return them all, `(N, classes) float32`.

    Raises:
        ConversionError: They are for another number of classes, or unreadable.
    """
    stored = read_stored(data)
    given = next((len(each) for each in stored.values()), 0)
    if given != classes:
        raise ConversionError(
            "the stored logits' classes",
            found=given,
            expected=classes,
            next_step="store one column for each class folder, in the order of their names",
        )
    return np.stack(list(stored.values()))


def stored_for(stored: dict[str, NDArray[np.float32]], digests: list[str], split: str) -> NDArray[np.float32]:
    """Return `(N, classes) float32` logits of a split's items in their order.

    Raises:
        ConversionError: Some items have none.
    """
    missing = [digest for digest in digests if digest not in stored]
    if missing:
        raise ConversionError(
            f"the stored logits lack {len(missing)} of {len(digests)} items of the {split} split",
            found=f"none for an item with digest {missing[0]}",
            next_step="store logits for every file, by the SHA-256 of its content",
        )
    return np.stack([stored[digest] for digest in digests])
