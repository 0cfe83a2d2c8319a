"""Reading a bundle: nothing is handed out before its digest was checked.

Invariants:
* a blob is read up to the size that the manifest declares and never beyond it;
* bytes that do not hash to the digest in the manifest never reach a caller, nor a file that a
  caller could take for the blob.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from edgeinfer.bundle.containers import (
    GET_ANOTHER,
    MANIFEST_NAME,
    Container,
    blob_name,
    read_manifest,
    reading,
)
from edgeinfer.errors import BundleError, DigestError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeinfer.bundle.content import Blob
    from edgeinfer.bundle.manifest import Manifest

_CHUNK = 1024 * 1024


class Bundle:
    """An open bundle: its manifest, its digest, and its blobs on demand.

    Attributes:
        manifest: What it says about itself.
        manifest_bytes: The manifest as it is stored.
        digest: SHA-256 (hex) of `manifest_bytes`, which names every blob by digest: the identity
            of the whole bundle, the same in both forms.
        container: Its bytes by name.
    """

    def __init__(self, path: str, container: Container, stored: bytes, manifest: Manifest) -> None:
        self._path = path
        self.container = container
        self.manifest_bytes, self.manifest = stored, manifest
        self.digest = hashlib.sha256(stored).hexdigest()

    @property
    def path(self) -> Path:
        """Where it lies."""
        from pathlib import Path  # takes 3 ms to import

        return Path(self._path)

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield a blob's bytes piece by piece, with bounded memory.

        The pieces are verified as a whole only when the iterator ends without an error: do not act
        on them before.

        Raises:
            DigestError: Size or digest differ from the manifest.
            BundleError: The blob is missing or cannot be read.
        """
        name = blob_name(blob.sha256)
        with reading(f"blob {blob.sha256[:12]} of {self._path}"):
            size = self.container.size(name)
            if size is None:
                raise BundleError(f"{self._path} lacks blob {blob.sha256[:12]}", next_step=GET_ANOTHER)
            if size != blob.size:
                raise DigestError(
                    f"blob {blob.sha256[:12]} of {self._path}",
                    found=f"{size} bytes",
                    expected=f"{blob.size} bytes",
                    next_step=GET_ANOTHER,
                )
            hasher = hashlib.sha256()
            left = blob.size
            with self.container.open(name) as file:
                while left:
                    chunk = file.read(min(_CHUNK, left))
                    if not chunk:
                        break
                    left -= len(chunk)
                    hasher.update(chunk)
                    yield chunk
        if left or hasher.hexdigest() != blob.sha256:
            raise DigestError(
                f"blob of {self._path} was changed",
                found=f"sha256 {hasher.hexdigest()[:12]}",
                expected=blob.sha256[:12],
                next_step=GET_ANOTHER,
            )

    def read(self, blob: Blob) -> bytes:
        """Return a blob's bytes, verified.

        Raises:
            DigestError: Size or digest differ from the manifest.
            BundleError: The blob is missing or cannot be read.
        """
        return b"".join(self.chunks(blob))

    def copy(self, blob: Blob, path: Path) -> None:
        """Write a blob to a file, which appears only when it was verified whole.

        Raises:
            DigestError: Size or digest differ from the manifest.
            BundleError: The blob cannot be read, or the file cannot be written.
        """
        from edgeinfer.host import atomic_file

        try:
            with atomic_file(path) as file:
                for chunk in self.chunks(blob):
                    file.write(chunk)
        except OSError as error:
            raise BundleError(
                f"cannot write {path} ({error.strerror or error})",
                next_step="free space or choose another place",
            ) from error

    def verify(self) -> int:
        """Read and hash every blob; return how many there are.

        Raises:
            BundleError: A blob is missing, damaged or not the one that the manifest names.
        """
        blobs = self.manifest.blobs().values()
        for blob in blobs:
            for _ in self.chunks(blob):
                pass
        return len(blobs)

    def close(self) -> None:
        """Give the file handle back."""
        self.container.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Open a bundle in either form and read its manifest.

    Args:
        path: A `.eib` file, or a folder with `manifest.json`.

    Raises:
        BundleError: It is no bundle or is damaged.
        ManifestError: Its manifest is not valid.
    """
    if not isinstance(path, str | os.PathLike):
        raise BundleError(
            "a bundle is opened by its path", found=type(path).__name__, expected="text or a path"
        )
    from pathlib import Path

    from edgeinfer.bundle.archive import open_container
    from edgeinfer.bundle.document import parse_manifest

    container = open_container(Path(path))
    try:
        stored = read_manifest(container, str(path))
        manifest = parse_manifest(stored)
        _check_names(str(path), container, manifest)
        return Bundle(str(path), container, stored, manifest)
    except BaseException:
        container.close()
        raise


def _check_names(path: str, container: Container, manifest: Manifest) -> None:
    names = container.names()
    if names is None:
        return
    extra = names - {MANIFEST_NAME} - {blob_name(sha256) for sha256 in manifest.blobs()}
    if extra:
        raise BundleError(
            f"{path} holds what its manifest does not name", found=sorted(extra)[0], next_step=GET_ANOTHER
        )
