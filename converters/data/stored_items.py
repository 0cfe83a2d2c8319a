"""Calibration and validation inputs, preprocessed when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.splits import SPLITS
from edgeinfer.preprocess import Preprocessor


class StoredItems:
    """Rows of the items that the data step keeps on disk.

    They are read and not mapped: a system may map megabytes around every row that is touched, and
    all of it counts as memory in use.
    """

    def __init__(self, stored: Path, rows: NDArray[np.int64], preprocess: Preprocessor) -> None:
        self._stored, self._rows, self._preprocess = stored, rows, preprocess

    def __len__(self) -> int:
        return len(self._rows)

    def tensors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the inputs `start` to `stop`, as the model takes them."""
        return self._preprocess.tensors(read_rows(self._stored, self._rows[start:stop]))


def read_rows(path: Path, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of an array in a `.npy` file (format 1.0), without reading the others."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        first = file.tell()
        found = np.empty((len(rows), *shape[1:]), dtype)
        for at, row in enumerate(rows):
            file.seek(first + int(row) * found[at].nbytes)
            found[at] = np.frombuffer(file.read(found[at].nbytes), dtype).reshape(shape[1:])
    return found


def validation_items(
    needs: Mapping[str, Path], preprocess: Preprocessor, seed: int, most: int, *, last: bool = False
) -> tuple[StoredItems, NDArray[np.int64]]:
    """Return items of the validation split, chosen by the seed, and their `(N,) int64` labels.

    Args:
        needs: Holds what the data step made.
        preprocess: From stored items to inputs.
        seed: Of the choice.
        most: How many at most; fewer are the first of more.
        last: Take the last of that order: others than the first, while the split has enough for both.
    """
    with np.load(needs["splits.npz"]) as arrays:
        mine = arrays["split"] == SPLITS.index("validation")
        rows, labels = arrays["row"][mine], arrays["label"][mine]
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen = (order[::-1] if last else order)[:most]
    return StoredItems(needs["items.npy"], rows[chosen], preprocess), labels[chosen].astype(np.int64)
