"""The files of a repository: what is served, and beside it drafts that still gather signatures.

    FOLDER/metadata, targets, blobs    served, by any web server
    FOLDER.staging/ROLE.json           a draft, not served: it may go from one holder of a key to the next
    FOLDER.staging/lock                held by whoever changes something

Invariants:
* a file has its name only when it is whole and on the disk;
* a file with a version or a digest in its name is never changed, also where a change that was killed left it behind;
* two publishers on one machine do not change a repository at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from edgeinfer.errors import RepositoryError
from edgeinfer.host import FileLock, atomic_file
from edgeinfer.repository.roles import ROOT, SNAPSHOT, TIMESTAMP, TOP
from edgeinfer.repository.roles import TARGETS as TARGETS_ROLE
from edgeinfer.updates.layout import BLOBS, METADATA, TARGETS

_VERSIONED = re.compile(r"(\d+)\.([a-z0-9-]+)\.json")
_GIVE_UP = "get the folder back from a copy, or from the web server"


class Storage:
    """A served folder, and the one of its drafts.

    Args:
        folder: What is served.
        staging: The drafts.
    """

    def __init__(self, folder: Path, staging: Path) -> None:
        self.folder, self.staging = folder, staging

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the repository while something changes, and sweep up what a killed change left half-written.

        Raises:
            RepositoryError: Another process holds it.
        """
        self.staging.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            try:
                held.enter_context(FileLock(self.staging / "lock"))
            except BlockingIOError:
                raise RepositoryError(
                    f"another process changes {self.folder}", next_step="try again when it is through"
                ) from None
            for each in (*self.folder.rglob(".*.partial"), *self.staging.glob(".*.partial")):
                each.unlink()
            yield

    def published(self) -> dict[str, Metadata[Any]]:
        """Return the roles that devices find, by name; none before the first are published.

        Raises:
            RepositoryError: A file is damaged or missing.
        """
        at = self.folder / METADATA / f"{TIMESTAMP}.json"
        if not at.exists():
            if self.latest(ROOT) and not self._draft_path(ROOT).exists():
                raise RepositoryError(f"{at} is missing", next_step=_GIVE_UP)
            return {}
        timestamp = read_metadata(at, TIMESTAMP)
        snapshot = self.version(SNAPSHOT, timestamp.signed.snapshot_meta.version)
        found = {ROOT: self.version(ROOT, self.latest(ROOT)), SNAPSHOT: snapshot, TIMESTAMP: timestamp}
        for name, meta in snapshot.signed.meta.items():
            role = name.removesuffix(".json")
            found[role] = self.version(role, meta.version)
        return found

    def version(self, role: str, version: int) -> Metadata[Any]:
        """Return a role's metadata of one version.

        Raises:
            RepositoryError: The file is damaged or missing.
        """
        return read_metadata(self.metadata_path(role, version), role)

    def metadata_path(self, role: str, version: int) -> Path:
        """Return where a role's metadata of one version lie."""
        return self.folder / METADATA / f"{version}.{role}.json"

    def latest(self, role: str) -> int:
        """Return the highest version of a role that lies there, published or left by a change that was killed."""
        found = (_VERSIONED.fullmatch(path.name) for path in (self.folder / METADATA).glob(f"*.{role}.json"))
        return max((int(each[1]) for each in found if each and each[2] == role), default=0)

    def publish(self, role: str, metadata: Metadata[Any]) -> None:
        """Write metadata to where devices look for them, those with a version once."""
        if role == TIMESTAMP:
            _write(self.folder / METADATA / f"{TIMESTAMP}.json", metadata.to_bytes())
            return
        assert not self.version_faults(role, metadata), "it was looked at before"
        path = self.metadata_path(role, metadata.signed.version)
        if not path.exists():
            _write(path, metadata.to_bytes())

    def version_faults(self, role: str, metadata: Metadata[Any]) -> list[str]:
        """Return whether metadata of the same version lie there, and are others."""
        path = self.metadata_path(role, metadata.signed.version)
        if not path.exists() or path.read_bytes() == metadata.to_bytes():
            return []
        return [f"{path} is there already, and is another one: edgeinfer repo refresh {role} makes the next"]

    def drafts(self) -> dict[str, Metadata[Any]]:
        """Return the drafts by role.

        Raises:
            RepositoryError: A file is damaged.
        """
        return {path.stem: read_metadata(path, path.stem) for path in sorted(self.staging.glob("*.json"))}

    def keep_draft(self, role: str, metadata: Metadata[Any]) -> None:
        """Write a draft."""
        _write(self._draft_path(role), metadata.to_bytes())

    def drop_draft(self, role: str) -> None:
        """Remove a draft, if there is one."""
        self._draft_path(role).unlink(missing_ok=True)

    def _draft_path(self, role: str) -> Path:
        return self.staging / f"{role}.json"

    def target_path(self, target: str, digest: str) -> Path:
        """Return where a target lies."""
        folder, _, name = target.rpartition("/")
        return self.folder / TARGETS / folder / f"{digest}.{name}"

    def blob_path(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.folder / BLOBS / digest

    def put_target(self, target: str, digest: str, data: bytes) -> None:
        """Write a target."""
        path = self.target_path(target, digest)
        if not path.exists() or path.read_bytes() != data:
            _write(path, data)


def read_metadata(path: Path, role: str) -> Metadata[Any]:
    """Return a role's metadata in a file, unverified.

    Raises:
        RepositoryError: It is missing or damaged, or holds those of another kind of role.
    """
    kind = role if role in TOP else TARGETS_ROLE
    try:
        found: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise RepositoryError(f"{path} is missing", next_step=_GIVE_UP) from None
    except (DeserializationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RepositoryError(f"{path} holds no metadata ({error})", next_step=_GIVE_UP) from error
    if found.signed.type != kind:
        raise RepositoryError(
            f"{path}", found=f"{found.signed.type} metadata", expected=kind, next_step=_GIVE_UP
        )
    return found


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(data)
