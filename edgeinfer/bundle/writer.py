"""Writing a bundle: whole or not at all, and the same bytes for the same content.

The manifest comes first in the file, so that a reader of a stream can decide early. Blobs are
copied piece by piece and hashed once more while they are, so that a source that changed under the
writer is noticed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Literal

from edgeinfer.bundle.containers import MANIFEST_NAME, blob_name
from edgeinfer.bundle.content import Blob
from edgeinfer.bundle.document import manifest_bytes
from edgeinfer.bundle.manifest import Manifest
from edgeinfer.errors import BundleError, DigestError
from edgeinfer.host import atomic_directory, atomic_file

Source = bytes | Path
_CHUNK = 1024 * 1024
# The earliest time a zip can hold: equal content gives equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class BlobSet:
    """Content to be packed, by digest. Files are remembered by path and not held in memory."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[Blob, Source]] = {}

    def add(self, source: Source) -> Blob:
        """Hash content (bytes, or the path of a file) and remember where it is.

        Raises:
            BundleError: The file cannot be read.
        """
        hasher, size = hashlib.sha256(), 0
        try:
            for chunk in _chunks(source):
                hasher.update(chunk)
                size += len(chunk)
        except OSError as error:
            raise BundleError(f"cannot read {source!s} ({error.strerror or error})") from error
        blob = Blob(hasher.hexdigest(), size)
        self._sources.setdefault(blob.sha256, (blob, source))
        return blob

    def sources(self, manifest: Manifest) -> Mapping[str, tuple[Blob, Source]]:
        """Return the content that the manifest names.

        Raises:
            BundleError: It names a blob that was not added.
        """
        missing = [sha256 for sha256 in manifest.blobs() if sha256 not in self._sources]
        if missing:
            raise BundleError(f"the manifest names blob {missing[0][:12]}, which was not added")
        return {sha256: self._sources[sha256] for sha256 in manifest.blobs()}


def write_bundle(
    path: str | Path, manifest: Manifest, blobs: BlobSet, *, form: Literal["file", "folder"] = "file"
) -> str:
    """Write a bundle and return its digest.

    The file, or the folder, appears under its name only when it is whole and on the disk.

    Args:
        path: Where to; an existing file is replaced, a folder must be new or empty.
        manifest: What the bundle says about itself.
        blobs: At least the content that the manifest names.
        form: One stored zip file, or a folder.

    Raises:
        BundleError: The disk is full or not writable, or a blob is missing or has changed.
        ManifestError: The manifest breaks a rule of docs/bundle-format.md.
    """
    path = Path(path)
    if not path.name or (form == "file" and path.is_dir()):
        raise BundleError(f"cannot write a bundle to {path}", found="a folder", expected="the name of a file")
    data = manifest_bytes(manifest)
    sources = blobs.sources(manifest)
    try:
        if form == "file":
            with atomic_file(path) as file:
                _write_archive(file, data, sources)
        else:
            with atomic_directory(path) as folder:
                _write_folder(folder, data, sources)
    except OSError as error:
        raise BundleError(
            f"cannot write {path} ({error.strerror or error})",
            next_step="nothing was left behind; free space or choose another place, then try again",
        ) from error
    return hashlib.sha256(data).hexdigest()


def _write_archive(file: BinaryIO, data: bytes, sources: Mapping[str, tuple[Blob, Source]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def entry(name: str, size: int) -> AbstractContextManager[IO[bytes]]:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            info.file_size = size
            return archive.open(info, "w")

        with entry(MANIFEST_NAME, len(data)) as target:
            target.write(data)
        for sha256, (blob, source) in sources.items():
            with entry(blob_name(sha256), blob.size) as target:
                _copy(blob, source, target)


def _write_folder(folder: Path, data: bytes, sources: Mapping[str, tuple[Blob, Source]]) -> None:
    (folder / MANIFEST_NAME).write_bytes(data)
    (folder / blob_name("")).mkdir(parents=True)
    for sha256, (blob, source) in sources.items():
        with (folder / blob_name(sha256)).open("wb") as target:
            _copy(blob, source, target)


def _copy(blob: Blob, source: Source, target: IO[bytes]) -> None:
    hasher = hashlib.sha256()
    for chunk in _chunks(source):
        hasher.update(chunk)
        target.write(chunk)
    if hasher.hexdigest() != blob.sha256:
        raise DigestError(f"{source!s} changed while it was packed", next_step="pack it again")


def _chunks(source: Source) -> Iterator[bytes]:
    with _opened(source) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield file
