"""Where a bundle's bytes lie: in a folder, or at known places of one file.

Nothing in them is trusted: a container hands out bytes up to a stated size, and `edgeinfer.bundle.reader` hashes them
before anyone uses them. The zip file that a bundle is otherwise is a room of its own, `edgeinfer.bundle.archive`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from edgeinfer.errors import BundleError, EdgeInferError, ManifestError

MANIFEST_NAME = "manifest.json"
BLOB_FOLDER = "blobs/sha256"
# How the name of a manifest ends that is one of many in a store.
STORED = ".json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
GET_ANOTHER = "get the bundle again or repack it"

Places = Mapping[str, tuple[int, int]]


def blob_name(sha256: str) -> str:
    """Return the name of a blob inside a bundle."""
    return f"{BLOB_FOLDER}/{sha256}"


class Container(Protocol):
    """A bundle's bytes by name."""

    def size(self, name: str) -> int | None:
        """Return the stored size of an entry in bytes, or None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """Open an entry for reading; no more than its size is taken from it."""

    def names(self) -> frozenset[str] | None:
        """Return the names of all entries, or None for a form that may hold those of others too."""

    def places(self) -> Places | None:
        """Return where each entry lies in the file, its offset and size in bytes; None for a folder."""

    def close(self) -> None:
        """Give the file handle back."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever reading raises into a `BundleError` about `what`."""
    try:
        yield
    except EdgeInferError:
        raise
    except OSError as error:
        raise BundleError(
            f"{what} cannot be read ({error.strerror or error})", next_step=GET_ANOTHER
        ) from error
    except Exception as error:  # the zip module was seen to raise ten types on damaged files
        raise BundleError(
            f"{what} is damaged ({error or type(error).__name__})", next_step=GET_ANOTHER
        ) from error


def read_manifest(container: Container, path: str) -> bytes:
    """Return a bundle's manifest as it is stored.

    Raises:
        ManifestError: It is too large.
        BundleError: It cannot be read.
    """
    with reading(f"{MANIFEST_NAME} of {path}"):
        size = container.size(MANIFEST_NAME) or 0
        if size > MAX_MANIFEST_BYTES:
            raise ManifestError(
                f"{MANIFEST_NAME} of {path}",
                found=f"{size} bytes",
                expected=f"at most {MAX_MANIFEST_BYTES}",
                next_step=GET_ANOTHER,
            )
        with container.open(MANIFEST_NAME) as file:
            return file.read(size)


def in_folder(path: str) -> Container:
    """Return what reads a folder with `manifest.json` and `blobs/sha256/<hex>`, perhaps the blobs of others too.

    Args:
        path: The folder; or a manifest in a store of many, `manifests/<name>.json` beside `blobs`.
    """
    if path.endswith(STORED):
        return _Folder(path, os.path.dirname(os.path.dirname(path)))
    return _Folder(f"{path}/{MANIFEST_NAME}", path)


def in_pieces(path: str, places: Places) -> Container:
    """Return what reads a file in which it is known what lies where."""
    return _Pieces(path, places)


class _Folder:
    def __init__(self, manifest: str, folder: str) -> None:
        self._manifest, self._folder = manifest, folder

    def size(self, name: str) -> int | None:
        path = self._path(name)
        return os.stat(path).st_size if os.path.isfile(path) else None

    def open(self, name: str) -> BinaryIO:
        return open(self._path(name), "rb")

    def names(self) -> None:
        return None

    def places(self) -> None:
        return None

    def close(self) -> None:
        pass

    def _path(self, name: str) -> str:
        return self._manifest if name == MANIFEST_NAME else f"{self._folder}/{name}"


class _Pieces:
    def __init__(self, path: str, places: Places) -> None:
        self._path, self._places = path, places

    def size(self, name: str) -> int | None:
        _, size = self._places.get(name, (0, None))
        return size

    def open(self, name: str) -> BinaryIO:
        file = open(self._path, "rb")  # noqa: SIM115 - whoever reads closes it
        file.seek(self._places[name][0])
        return file

    def names(self) -> frozenset[str]:
        return frozenset(self._places)

    def places(self) -> Places:
        return self._places

    def close(self) -> None:
        pass
