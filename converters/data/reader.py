"""Every item read once: decoded, kept on disk, and known by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.sources import Item, Source
from converters.data.tables import Cells, check_row
from converters.recipe import Input, TableInput
from edgeinfer.bundle import canonical_json
from edgeinfer.errors import InputError
from edgeinfer.preprocess import Preprocessor


class Reader:
    """Decodes items and remembers what each is.

    Attributes:
        items: What could be read, in order.
        digests: SHA-256 (hex) of each one's content.
        rows: Place of each in the file of items.
        cells: Their cells, where they are rows of a table.
        unreadable: Name and reason of each that could not be read.
    """

    def __init__(self, input_: Input, path: Path, total: int) -> None:
        self._input, self._path, self._total = input_, path, total
        self._preprocess = None if isinstance(input_, TableInput) else Preprocessor(input_.decoding())
        self._into: NDArray[np.generic] | None = None
        self.items: list[Item] = []
        self.digests: list[str] = []
        self.rows: list[int] = []
        self.cells: list[Cells] = []
        self.unreadable: list[str] = []

    def read(self, source: Source, item: Item) -> None:
        """Read one item; what cannot be read is noted."""
        row = len(self.items) + len(self.unreadable)
        try:
            content = source.read(item)
            if isinstance(content, Mapping):
                self._keep_cells(content)
            else:
                self._keep(row, content)
        except InputError as error:
            self.unreadable.append(f"{item.name}: {error}")
            return
        self.items.append(item)
        self.rows.append(row)
        self.digests.append(_digest(content))

    def flush(self) -> None:
        """Bring what was kept to the disk."""
        if isinstance(self._into, np.memmap):
            self._into.flush()

    def _keep_cells(self, cells: Cells) -> None:
        assert isinstance(self._input, TableInput), "tables give cells"
        check_row(cells, self._input)
        self.cells.append(cells)

    def _keep(self, row: int, content: object) -> None:
        assert self._preprocess is not None, "files and pixels are no rows"
        item = self._preprocess.item(content)
        if self._into is None:
            shape = (self._total, *item.shape)
            self._into = np.lib.format.open_memmap(self._path, "w+", item.dtype, shape)
        self._into[row] = item


def encoded(cells: Sequence[Cells], input_: TableInput) -> NDArray[np.float64]:
    """Return `(N, columns) float64` items of rows, by the fitted columns."""
    preprocess = Preprocessor(input_.steps())
    return np.stack([preprocess.item(row) for row in cells])


def _digest(content: object) -> str:
    if isinstance(content, Mapping):
        data = canonical_json({name: text.strip() for name, text in content.items()})
    else:
        data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(data).hexdigest()
