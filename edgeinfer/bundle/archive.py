"""A bundle as one file: a zip whose every entry is stored as it is, under one of the two permitted names."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

from edgeinfer.bundle.containers import (
    GET_ANOTHER,
    MANIFEST_NAME,
    STORED,
    Container,
    Places,
    in_folder,
    reading,
)
from edgeinfer.errors import BundleError, ManifestError

_ENTRY = re.compile(r"manifest\.json|blobs/sha256/[0-9a-f]{64}")
# A local file header: 30 bytes, of which the last four say how long the name and the extra field behind it are
# (PKWARE, APPNOTE.TXT 6.3.10, 4.3.7).
_HEADER = struct.Struct("<26xHH")


def open_container(path: Path) -> Container:
    """Open a bundle in either form.

    Raises:
        BundleError: There is nothing there, or it is no bundle.
    """
    with reading(str(path)):
        if not path.exists():
            raise BundleError(f"no bundle at {path}", found="nothing there", next_step="check the path")
        if path.is_dir():
            if not (path / MANIFEST_NAME).is_file():
                raise ManifestError(
                    f"{path} is no bundle folder",
                    found="no manifest.json in it",
                    next_step="name a folder that has one",
                )
            return in_folder(str(path))
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path} is no bundle", found="a device or pipe", expected="a file or folder")
        if path.suffix == STORED:
            return in_folder(str(path))
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


class _Archive:
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
                    next_step=GET_ANOTHER,
                )
        if len(self._entries) != len(infos):
            raise BundleError(f"{path} holds an entry twice", expected="unique names", next_step=GET_ANOTHER)
        if MANIFEST_NAME not in self._entries:
            raise ManifestError(f"{path} has no manifest.json", next_step="name an edgeinfer bundle")

    def size(self, name: str) -> int | None:
        info = self._entries.get(name)
        return info.file_size if info else None

    def open(self, name: str) -> BinaryIO:
        return cast("BinaryIO", self._zip.open(self._entries[name]))

    def names(self) -> frozenset[str]:
        return frozenset(self._entries)

    def places(self) -> Places:
        found, file = {}, cast("BinaryIO", self._zip.fp)
        for name, info in self._entries.items():
            file.seek(info.header_offset)
            name_bytes, extra_bytes = _HEADER.unpack(file.read(_HEADER.size))
            found[name] = (info.header_offset + _HEADER.size + name_bytes + extra_bytes, info.file_size)
        return found

    def close(self) -> None:
        self._zip.close()
