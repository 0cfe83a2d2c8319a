"""The two forms of a bundle: one stored zip file, or a folder.

Both hold `manifest.json` and `blobs/sha256/<hex>`, and nothing in them is trusted: a container hands
out bytes up to a stated size, and `edgeinfer.bundle.reader` hashes them before anyone uses them.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from edgeinfer.errors import BundleError, ManifestError

MANIFEST_NAME = "manifest.json"
BLOB_FOLDER = "blobs/sha256"
_ENTRY = re.compile(r"manifest\.json|blobs/sha256/[0-9a-f]{64}")
_NEXT = "get the bundle again or repack it"
# Everything the zip module was seen to raise on damaged files, beside OSError.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def blob_name(sha256: str) -> str:
    """Return the name of a blob inside a bundle."""
    return f"{BLOB_FOLDER}/{sha256}"


class Container(Protocol):
    """A bundle's bytes by name."""

    def size(self, name: str) -> int | None:
        """Return the stored size of an entry in bytes, or None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """Open an entry for reading; the caller maps nothing, `reading` does."""

    def names(self) -> frozenset[str] | None:
        """Return the names of all entries, or None for a form that may hold those of others too."""

    def close(self) -> None:
        """Give the file handle back."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what the file system and the zip module raise into a `BundleError` about `what`."""
    try:
        yield
    except _DAMAGE as error:
        raise BundleError(f"{what} is damaged ({error or type(error).__name__})", next_step=_NEXT) from error
    except OSError as error:
        raise BundleError(f"{what} cannot be read ({error.strerror or error})", next_step=_NEXT) from error


def open_container(path: Path) -> Container:
    """Open either form.

    Raises:
        BundleError: There is nothing there, or it is no bundle.
    """
    with reading(str(path)):
        if not path.exists():
            raise BundleError(f"no bundle at {path}", found="nothing there", next_step="check the path")
        if path.is_dir():
            return _Folder(path)
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path} is no bundle", found="a device or pipe", expected="a file or folder")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                start = file.read(8)
            raise BundleError(
                f"{path} is no bundle, or is cut short",
                found=f"{path.stat().st_size} bytes that begin with {start!r}",
                expected="a whole zip file",
                next_step="name a .eib file or a bundle folder, or get it again",
            )
        return _Archive(path)


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        if not (path / MANIFEST_NAME).is_file():
            raise ManifestError(
                f"{path} is no bundle folder",
                found="no manifest.json in it",
                next_step="name a folder that has one",
            )

    def size(self, name: str) -> int | None:
        path = self._path / name
        return path.stat().st_size if path.is_file() else None

    def open(self, name: str) -> BinaryIO:
        return (self._path / name).open("rb")

    def names(self) -> None:
        # On a server the blobs of several bundles may lie side by side.
        return None

    def close(self) -> None:
        pass


class _Archive:
    """A zip file whose every entry is stored as it is, under one of the two permitted names."""

    def __init__(self, path: Path) -> None:
        with reading(str(path)):
            self._zip = zipfile.ZipFile(path)
        try:
            self._entries = {info.filename: info for info in self._zip.infolist()}
            self._check(path)
        except BaseException:
            self._zip.close()
            raise

    def _check(self, path: Path) -> None:
        infos = self._zip.infolist()
        for info in infos:
            if not _ENTRY.fullmatch(info.orig_filename):
                raise BundleError(
                    f"{path} holds an entry that no bundle has",
                    found=repr(info.orig_filename),
                    expected="manifest.json or blobs/sha256/<64 hex digits>",
                    next_step="do not unpack it; get the bundle from its maker",
                )
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise BundleError(
                    f"entry {info.filename} of {path} is compressed",
                    found=f"{info.compress_size} bytes that claim to be {info.file_size}",
                    expected="stored entries",
                    next_step=_NEXT,
                )
        if len(self._entries) != len(infos):
            raise BundleError(f"{path} holds an entry twice", expected="unique names", next_step=_NEXT)
        if MANIFEST_NAME not in self._entries:
            raise ManifestError(f"{path} has no manifest.json", next_step="name an edgeinfer bundle")

    def size(self, name: str) -> int | None:
        info = self._entries.get(name)
        return info.file_size if info else None

    def open(self, name: str) -> BinaryIO:
        return cast("BinaryIO", self._zip.open(self._entries[name]))

    def names(self) -> frozenset[str]:
        return frozenset(self._entries)

    def close(self) -> None:
        self._zip.close()
