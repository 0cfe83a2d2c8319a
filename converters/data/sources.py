"""Where training items come from: scikit-learn's digits, a folder or zip with one folder a class, a table."""

from __future__ import annotations

import hashlib
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from converters.data.tables import Cells, Table
from converters.recipe import Recipe
from edgeinfer.bundle import MAX_FILE_BYTES
from edgeinfer.errors import DataError, DecodeError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
RECORDINGS = (".wav",)
# By kind of input: what its files are called, and how their names end.
_FILES: dict[str | None, tuple[str, tuple[str, ...]]] = {
    "image": ("pictures", PICTURES),
    "audio": ("recordings", RECORDINGS),
    None: ("pictures or recordings", (*PICTURES, *RECORDINGS)),
}
UNLABELLED = "unlabelled"
_TRAIN, _VALIDATION, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """One item that was not read yet.

    Attributes:
        name: Where it is, for people and for `Source.read`.
        label: Name of its class; empty where it has none.
        split: The split that it is assigned to, or None where splitting is ours.
    """

    name: str
    label: str
    split: str | None = None


class Source(Protocol):
    """A collection of items."""

    def items(self) -> Sequence[Item]:
        """Return every item, in an order that does not change."""

    @contextmanager
    def reading(self) -> Iterator[Source]:
        """Hold files open while items are read."""

    def read(self, item: Item) -> bytes | Pixels | Cells:
        """Return an encoded picture or recording, pixels, or the cells of a row by column.

        Raises:
            DecodeError: The file cannot be read, or its zip entry is damaged or encrypted.
        """


def sources(recipe: Recipe) -> list[tuple[Source, str | None]]:
    """Return the recipe's sources, each with the split that all of it belongs to, or None.

    Raises:
        DataError: A path is not there, or is not of the kind that the recipe says.
    """
    data = recipe.data
    if data.source == "digits":
        return [(_Digits(), None)]
    places = ((data.path, None), (data.test_path, "test"), (data.unlabelled, UNLABELLED))
    return [
        (_opened(recipe, path, labelled=split != UNLABELLED), split)
        for path, split in places
        if path is not None
    ]


def fingerprint(recipe: Recipe) -> list[str]:
    """Return what tells, without reading items, whether the data changed since the last run.

    Raises:
        DataError: As `sources` does.
    """
    if recipe.data.source == "digits":
        return ["digits"]
    return [source.fingerprint() for source, _ in sources(recipe) if isinstance(source, _Files | _Rows)]


class _Digits:
    """1,797 handwritten digits, 8 x 8 (scikit-learn's copy of UCI 80), as dark ink on white paper."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        loaded = load_digits()
        # Ink in 0..16 becomes a grey level: what a person draws is dark on light.
        self._pixels = (255 - np.rint(loaded.images * (255 / 16))).astype(np.uint8)
        self._labels = [str(label) for label in loaded.target]

    def items(self) -> list[Item]:
        return [Item(f"{at:04d}", label) for at, label in enumerate(self._labels)]

    @contextmanager
    def reading(self) -> Iterator[Source]:
        yield self

    def read(self, item: Item) -> Pixels:
        pixels: Pixels = self._pixels[int(item.name)]
        return pixels


class _Rows:
    """The rows of a table."""

    def __init__(self, table: Table, label: str | None) -> None:
        self._table, self._label = table, label

    def fingerprint(self) -> str:
        """Return what changes when the file does."""
        state = self._table.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    def items(self) -> list[Item]:
        labels = self._table.labels(self._label) if self._label else [""] * len(self._table.rows)
        return [Item(f"{self._table.path.name} row {at + 2}", label) for at, label in enumerate(labels)]

    @contextmanager
    def reading(self) -> Iterator[Source]:
        yield self

    def read(self, item: Item) -> Cells:
        cells = self._table.cells(int(item.name.rpartition(" ")[2]) - 2)
        if self._label and not item.label:
            raise DecodeError("the row has no class")
        return {name: text for name, text in cells.items() if name != self._label}


class _Files(ABC):
    """What a folder and a zip file have in common: names that tell class and split.

    Attributes:
        path: The folder or zip file.
        what: What its files are, in the plural.
        suffixes: How their names end.
        labelled: Whether folders tell classes; where not, every file below counts.
    """

    def __init__(self, path: Path, kind: str | None, *, labelled: bool) -> None:
        self.path = path
        self.what, self.suffixes = _FILES[kind]
        self.labelled = labelled

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what changes when a file does, without reading them all."""

    def items(self) -> list[Item]:
        names = [name for name in sorted(self.names()) if self._counts(name)]
        if not self.labelled:
            return self._without_labels(names)
        depth = _wrappers(names)
        found = []
        for name in names:
            parts = PurePosixPath(name).parts[depth:]
            split = _split_named(parts[0]) if len(parts) > 2 else None
            label = parts[1] if split else parts[0]
            if len(parts) > 1:
                found.append(Item(name, label, split))
        if not found:
            raise DataError(
                f"{self.path} holds no {self.what} in class folders",
                found=f"{len(names)} {self.what}",
                expected="<class>/<file> with " + ", ".join(self.suffixes),
                next_step=f"put the {self.what} of each class into a folder of its name",
            )
        return _with_one_layout(found, self.path)

    def _without_labels(self, names: Sequence[str]) -> list[Item]:
        if not names:
            raise DataError(
                f"{self.path} holds no {self.what}", expected="files with " + ", ".join(self.suffixes)
            )
        return [Item(name, "") for name in names]

    def _counts(self, name: str) -> bool:
        return not is_hidden(name) and name.lower().endswith(self.suffixes)


def _is_item(path: Path) -> bool:
    """Whether it is a file, or a link to one that is gone: that counts as unreadable, not as absent."""
    return path.is_file() or (path.is_symlink() and not path.exists())


class _Folder(_Files):
    def names(self) -> list[str]:
        return [path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if _is_item(path)]

    def fingerprint(self) -> str:
        hasher = hashlib.sha256()
        for name in sorted(self.names()):
            path = self.path / name
            state = path.stat() if path.exists() else path.lstat()
            line = f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0"
            hasher.update(line.encode(errors="surrogateescape"))
        return hasher.hexdigest()

    @contextmanager
    def reading(self) -> Iterator[Source]:
        yield self

    def read(self, item: Item) -> bytes:
        try:
            return (self.path / item.name).read_bytes()
        except OSError as error:
            raise DecodeError(f"cannot read {item.name} ({error.strerror or error})") from error


class _Zip(_Files):
    _opened: zipfile.ZipFile | None = None

    def names(self) -> list[str]:
        with _zip_opened(self.path) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]

    def fingerprint(self) -> str:
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    @contextmanager
    def reading(self) -> Iterator[Source]:
        with _zip_opened(self.path) as archive:
            self._opened = archive
            try:
                yield self
            finally:
                self._opened = None

    def read(self, item: Item) -> bytes:
        assert self._opened is not None, "read inside reading()"
        try:
            size = self._opened.getinfo(item.name).file_size
            if size > MAX_FILE_BYTES:
                raise DecodeError(f"zip entry {item.name}", found=f"{size} bytes", expected=MAX_FILE_BYTES)
            return self._opened.read(item.name)
        except DecodeError:
            raise
        except Exception as error:  # its decompressors raise over a dozen types on damaged entries
            raise DecodeError(f"zip entry {item.name} cannot be read ({error})") from error


def is_hidden(name: str) -> bool:
    """Return whether a file, or a folder above it, is one that systems put beside the user's own."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _zip_opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # the zip module raises several types on a damaged directory
        raise DataError(f"{path} is a damaged zip file ({error})", next_step="make it anew") from error


def open_source(path: Path, kind: str | None = None, *, labelled: bool = True) -> _Folder | _Zip:
    """Return the files of a folder or zip file.

    Args:
        path: Where it is.
        kind: Kind of input, `image` or `audio`; files of either by default.
        labelled: Whether folders tell classes; where not, every file below counts.

    Raises:
        DataError: It is not there, or neither of both.
    """
    if path.is_dir():
        return _Folder(path, kind, labelled=labelled)
    if path.is_file() and zipfile.is_zipfile(path):
        return _Zip(path, kind, labelled=labelled)
    raise DataError(
        f"no {_FILES[kind][0]} at {path}",
        found="a file that is no zip, or was cut short" if path.exists() else "nothing there",
        expected="a folder or zip file" + (" with one folder a class" if labelled else ""),
        next_step="check the path",
    )


def _opened(recipe: Recipe, given: str, *, labelled: bool) -> Source:
    path, kind = recipe.resolve(given), recipe.input.kind
    if kind != "table":
        return open_source(path, kind, labelled=labelled)
    if not path.is_file():
        raise DataError(
            f"no table at {path}",
            found="a folder" if path.is_dir() else "nothing there",
            expected="a CSV file",
            next_step="check [data] in the recipe",
        )
    return _Rows(Table(path, recipe.data.delimiter), recipe.data.label if labelled else None)


def _wrappers(names: Sequence[str]) -> int:
    """Return how many outer folders all files share above their class (or split) folders."""
    depth = 0
    while names:
        tops = {PurePosixPath(name).parts[depth] for name in names}
        if len(tops) > 1 or min(len(PurePosixPath(name).parts) for name in names) <= depth + 2:
            return depth
        depth += 1
    return depth


def _split_named(folder: str) -> str | None:
    for split, names in (("train", _TRAIN), ("validation", _VALIDATION), ("test", _TEST)):
        if folder.lower() in names:
            return split
    return None


def _with_one_layout(found: list[Item], path: Path) -> list[Item]:
    """Refuse a mixture of split folders and class folders, which is a mistake more often than meant."""
    assigned = Counter(item.split is not None for item in found)
    if len(assigned) > 1:
        odd = next(item for item in found if item.split is None)
        raise DataError(
            f"{path} mixes split folders and class folders",
            found=odd.name,
            expected="train/<class>/... and test/<class>/..., or <class>/... alone",
        )
    return found
