"""The bundles that a device fetched: manifests and blobs by their digests.

    manifests/DIGEST.json     a manifest, written when all that its device needs of it is there
    blobs/sha256/HEX          what manifests name
    partial/HEX, HEX.json     a blob that is under way, and what the server said of it

Invariants:
* a manifest or blob is there whole, hashed after it was written, and on the disk, or not there under its name;
* what is collected is named by no bundle that is to be kept;
* what a process that was killed left behind is at most one partial download of each blob, and is used or collected.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path

from edgeinfer.bundle import Blob, Manifest, Variant, parse_manifest
from edgeinfer.errors import BundleError, StoreError
from edgeinfer.host import atomic_file, sync_directory

_HEX = re.compile(r"[0-9a-f]{64}")


class BundleStore:
    """The bundles in a folder; one process at a time may change them, all may read.

    Args:
        folder: Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifests, self._blobs, self.partial = (
            folder / "manifests",
            folder / "blobs" / "sha256",
            folder / "partial",
        )

    def make(self) -> None:
        """Make the folders.

        Raises:
            StoreError: They cannot be made.
        """
        with storing(self.folder):
            for each in (self._manifests, self._blobs, self.partial):
                each.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where a bundle is opened."""
        return self._manifests / f"{digest}.json"

    def blob_path(self, sha256: str) -> Path:
        """Return where a blob lies, or is to lie."""
        return self._blobs / sha256

    def manifest(self, digest: str) -> Manifest | None:
        """Return a manifest, verified, or None where there is none or it is damaged."""
        with suppress(OSError, BundleError):
            data = self.path(digest).read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                return parse_manifest(data)
        return None

    def lacks(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Return the blobs that are not there in their size; their digests are looked at when they are read."""
        return [each for each in blobs if not self._has(each)]

    def keep_manifest(self, data: bytes) -> str:
        """Write a manifest whose blobs are there; return its digest.

        Raises:
            StoreError: It cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        with storing(self.folder), atomic_file(self.path(digest)) as file:
            file.write(data)
        return digest

    def keep_blob(self, blob: Blob) -> bool:
        """Take a blob that was downloaded whole into the store, or throw it away where it is another.

        Raises:
            StoreError: It cannot be written.
        """
        with storing(self.folder):
            path = self.partial / blob.sha256
            with path.open("r+b") as file:
                right = _sha256(file) == blob.sha256
                os.fsync(file.fileno())
            if right:
                path.replace(self.blob_path(blob.sha256))
                sync_directory(self._blobs)
            else:
                path.unlink()
            (self.partial / f"{blob.sha256}.json").unlink(missing_ok=True)
        return right

    def drop_damaged(self, digest: str) -> list[str]:
        """Remove the blobs of a bundle that are not what its manifest names, so that they are fetched again.

        Raises:
            StoreError: They cannot be removed.
        """
        manifest, dropped = self.manifest(digest), []
        with storing(self.folder):
            if manifest is None:
                self.path(digest).unlink(missing_ok=True)
                return [digest]
            for sha256 in manifest.blobs():
                path = self.blob_path(sha256)
                with suppress(FileNotFoundError):
                    with path.open("rb") as file:
                        right = _sha256(file) == sha256
                    if not right:
                        path.unlink()
                        dropped.append(sha256)
        return dropped

    def collect(self, keep: Mapping[str, str], coming: Iterable[Blob] = ()) -> int:
        """Remove what no bundle that is to be kept needs; return how many bytes that freed.

        Args:
            keep: Variant by digest of each bundle that is to be kept.
            coming: Blobs of one that is under way.

        Raises:
            StoreError: Something cannot be removed.
        """
        wanted = {each.sha256 for each in coming}
        for digest, variant in keep.items():
            manifest = self.manifest(digest)
            if manifest is not None:
                wanted |= {each.sha256 for each in needed_blobs(manifest, variant)}
        freed = 0
        with storing(self.folder):
            # The manifests first: one without its blobs would be a bundle that cannot answer.
            for path in self._files(self._manifests):
                if path.stem not in keep:
                    freed += _removed(path)
            for path in self._files(self._blobs):
                if path.name not in wanted:
                    freed += _removed(path)
            for path in self._files(self.partial):
                if path.name.removesuffix(".json") not in wanted:
                    freed += _removed(path)
        return freed

    def _has(self, blob: Blob) -> bool:
        with suppress(OSError):
            return self.blob_path(blob.sha256).stat().st_size == blob.size
        return False

    def _files(self, folder: Path) -> Iterator[Path]:
        """Yield the files of a folder that are ours: none that a user put there."""
        for path in folder.iterdir():
            if _HEX.fullmatch(path.name.removesuffix(".json")) or path.name.endswith(".partial"):
                yield path


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn what a file system raises into a `StoreError` about a folder."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"bundles cannot be kept in {folder} ({error.strerror or error})",
            next_step="free space, or choose a folder that can be written; what runs goes on",
        ) from error


def needed_blobs(manifest: Manifest, variant: str) -> list[Blob]:
    """Return the blobs that a device needs to run a variant and to test it; no report, and no other variant's.

    Args:
        manifest: The bundle's.
        variant: Its id; empty for all that the manifest names.

    Raises:
        StoreError: There is no such variant.
    """
    if not variant:
        return list(manifest.blobs().values())
    chosen = _variant(manifest, variant)
    found = [chosen.blob, *(each.blob for each in chosen.golden_outputs.values())]
    if manifest.golden is not None:
        found += [each.blob for each in manifest.golden.inputs.values()]
        found += [each for blobs in manifest.golden.sources.values() for each in blobs]
    return list({each.sha256: each for each in found}.values())


def _sha256(file: BufferedIOBase) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _removed(path: Path) -> int:
    """Remove a file and return its size; one that another program has open stays, where the system says so."""
    size = path.stat().st_size
    with suppress(PermissionError):
        path.unlink(missing_ok=True)
        return size
    return 0


def _variant(manifest: Manifest, variant: str) -> Variant:
    for each in manifest.variants:
        if each.id == variant:
            return each
    raise StoreError(f"{manifest.name} has no variant {variant}")
