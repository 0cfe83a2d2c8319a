"""What the signed roles name: manifests, the blobs of their bundles, the document of flags; written, and looked at."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tuf.api.metadata import TargetFile

from edgeinfer.bundle import Bundle, parse_manifest
from edgeinfer.errors import EdgeInferError
from edgeinfer.flags import Document, read_document
from edgeinfer.repository.roles import Roles
from edgeinfer.repository.rules import family_of
from edgeinfer.repository.storage import Storage
from edgeinfer.updates.layout import FLAGS_ROLE, FLAGS_TARGET, manifest_target


def put_bundle(storage: Storage, bundle: Bundle, family: str) -> TargetFile:
    """Write a bundle's blobs and manifest to where devices look for them, each verified; return the target.

    Raises:
        BundleError: A blob is missing, damaged, or cannot be written.
        UpdateError: The family's name is none.
    """
    path = manifest_target(family, bundle.digest)
    for blob in bundle.manifest.blobs().values():
        to = storage.blob_path(blob.sha256)
        to.parent.mkdir(parents=True, exist_ok=True)
        if file_fault(to, blob.size, blob.sha256):
            bundle.copy(blob, to)
        else:
            for _ in bundle.chunks(blob):
                pass
    storage.put_target(path, bundle.digest, bundle.manifest_bytes)
    custom = {"name": bundle.manifest.name, "version": bundle.manifest.version}
    return TargetFile(len(bundle.manifest_bytes), {"sha256": bundle.digest}, path, {"custom": custom})


def put_flags(storage: Storage, document: Document) -> TargetFile:
    """Write a document of flags to where devices look for it; return the target."""
    storage.put_target(FLAGS_TARGET, document.digest, document.data)
    custom = {"version": str(document.version)}
    return TargetFile(len(document.data), {"sha256": document.digest}, FLAGS_TARGET, {"custom": custom})


def flags_document(storage: Storage, roles: Roles) -> Document | None:
    """Return the document of flags that is signed, or None where there is none.

    Raises:
        FlagError: What is signed is no document of flags.
        OSError: The file is not there.
    """
    target = roles[FLAGS_ROLE].signed.targets.get(FLAGS_TARGET) if FLAGS_ROLE in roles else None
    if target is None:
        return None
    return read_document(storage.target_path(FLAGS_TARGET, target.hashes.get("sha256", "")).read_bytes())


def offered(roles: Roles) -> dict[str, set[str]]:
    """Return the digests that are signed, by family."""
    return {
        family: {target.hashes.get("sha256", "") for target in each.signed.targets.values()}
        for name, each in roles.items()
        if (family := family_of(name))
    }


def target_faults(storage: Storage, target: TargetFile, *, blobs: bool = True) -> list[str]:
    """Return what is wrong with the files behind a target, a line each.

    Args:
        storage: Where they lie.
        target: What is signed of it.
        blobs: Whether a manifest's blobs are looked at, too.
    """
    digest = target.hashes.get("sha256", "")
    path = storage.target_path(target.path, digest)
    fault = file_fault(path, target.length, digest)
    if fault or target.path == FLAGS_TARGET:
        return [f"{target.path}: {fault}"] if fault else []
    try:
        manifest = parse_manifest(path.read_bytes())
    except EdgeInferError as error:
        return [f"{target.path}: {error}"]
    found = []
    if target.custom != {"name": manifest.name, "version": manifest.version}:
        found.append(
            f"{target.path}: it is signed as {target.custom}, and is {manifest.name} {manifest.version}"
        )
    for blob in manifest.blobs().values() if blobs else ():
        fault = file_fault(storage.blob_path(blob.sha256), blob.size, blob.sha256)
        if fault:
            found.append(f"{target.path}: blob {blob.sha256[:12]}: {fault}")
    return found


def file_fault(path: Path, size: int, digest: str) -> str:
    """Return what is wrong with a file, or an empty text."""
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != size:
        return f"{path} has {path.stat().st_size} bytes, expected {size}"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == digest
    return "" if same else f"{path} was changed"
