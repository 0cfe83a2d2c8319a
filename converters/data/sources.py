"""Where training pictures come from: scikit-learn's digits, or a folder or zip with one folder a class."""

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

from converters.recipe import Recipe
from edgeinfer.errors import DataError, DecodeError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# A picture of the largest permitted size, uncompressed, with room to spare.
MAX_PICTURE_BYTES = 512 * 1024 * 1024
_TRAIN, _VALIDATION, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """One labelled picture that was not read yet.

    Attributes:
        name: Where it is, for people and for `Source.read`.
        label: Name of its class.
        split: The split its folder assigns it to, or None where splitting is ours.
    """

    name: str
    label: str
    split: str | None = None


class Source(Protocol):
    """A collection of labelled pictures."""

    def items(self) -> Sequence[Item]:
        """Return every picture, sorted by name."""

    @contextmanager
    def reading(self) -> Iterator[Source]:
        """Hold files open while pictures are read."""

    def read(self, item: Item) -> bytes | Pixels:
        """Return an encoded picture or its pixels.

        Raises:
            DecodeError: The file cannot be read, or its zip entry is damaged or encrypted.
        """


def sources(recipe: Recipe) -> list[tuple[Source, str | None]]:
    """Return the recipe's sources, each with the split that all of it belongs to, or None.

    Raises:
        DataError: A path is not there, or is neither a folder nor a zip file.
    """
    data = recipe.data
    if data.source == "digits":
        return [(_Digits(), None)]
    assert data.path is not None, "check_recipe"
    found: list[tuple[Source, str | None]] = [(open_source(recipe.resolve(data.path)), None)]
    if data.test_path is not None:
        found.append((open_source(recipe.resolve(data.test_path)), "test"))
    return found


def fingerprint(recipe: Recipe) -> list[str]:
    """Return what tells, without reading pictures, whether the data changed since the last run.

    Raises:
        DataError: As `sources` does.
    """
    if recipe.data.source == "digits":
        return ["digits"]
    return [source.fingerprint() for source, _ in sources(recipe) if isinstance(source, _Files)]


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


class _Files(ABC):
    """What a folder and a zip file have in common: names that tell class and split."""

    path: Path

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what changes when a file does, without reading them all."""

    def items(self) -> list[Item]:
        names = [name for name in sorted(self.names()) if _is_picture(name)]
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
                f"{self.path} holds no pictures in class folders",
                found=f"{len(names)} pictures",
                expected="<class>/<picture> with " + ", ".join(SUFFIXES),
                next_step="put the pictures of each class into a folder of its name",
            )
        return _with_one_layout(found, self.path)


class _Folder(_Files):
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return [path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()]

    def fingerprint(self) -> str:
        hasher = hashlib.sha256()
        for name in sorted(self.names()):
            state = (self.path / name).stat()
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
    def __init__(self, path: Path, opened: zipfile.ZipFile | None = None) -> None:
        self.path = path
        self._opened = opened

    def names(self) -> list[str]:
        with _zip_opened(self.path) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]

    def fingerprint(self) -> str:
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    @contextmanager
    def reading(self) -> Iterator[Source]:
        with _zip_opened(self.path) as archive:
            yield _Zip(self.path, archive)

    def read(self, item: Item) -> bytes:
        assert self._opened is not None, "read inside reading()"
        try:
            size = self._opened.getinfo(item.name).file_size
            if size > MAX_PICTURE_BYTES:
                raise DecodeError(f"zip entry {item.name}", found=f"{size} bytes", expected=MAX_PICTURE_BYTES)
            return self._opened.read(item.name)
        except DecodeError:
            raise
        except Exception as error:  # its decompressors raise over a dozen types on damaged entries
            raise DecodeError(f"zip entry {item.name} cannot be read ({error})") from error


def _zip_opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # the zip module raises several types on a damaged directory
        raise DataError(f"{path} is a damaged zip file ({error})", next_step="make it anew") from error


def open_source(path: Path) -> _Folder | _Zip:
    """Return the pictures of a folder or zip file.

    Raises:
        DataError: It is not there, or neither of both.
    """
    if path.is_dir():
        return _Folder(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return _Zip(path)
    raise DataError(
        f"no pictures at {path}",
        found="a file that is no zip" if path.exists() else "nothing there",
        expected="a folder or zip file with one folder a class",
        next_step="check the path",
    )


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)


def _wrappers(names: Sequence[str]) -> int:
    """Return how many outer folders all pictures share above their class (or split) folders."""
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
