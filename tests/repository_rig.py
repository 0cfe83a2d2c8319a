"""A signed repository, and real clients of it that read its folder as from a web server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from edgeinfer.bundle import BlobSet, Document, write_bundle
from edgeinfer.repository import KeyChange, Keys, Outcome, Plan, Quorum, SignedRepository
from edgeinfer.testing import FakeClock, sample_manifest, write_sample_bundle

DAY = 86_400.0
BASE = "https://updates.example"
FAMILY = "models-vision"
ONLINE = ("flags-1", "snapshot-1", "timestamp-1")
OFFLINE = ("root", "targets", FAMILY)
ROLES = ("root", "targets", "snapshot", "timestamp", "flags", FAMILY)
SMALL = Plan(root=Quorum(1, 1), targets=Quorum(1, 1), families={"vision": Quorum(1, 1)})
LARGE = Plan(families={"vision": Quorum()})


class FolderFetcher(FetcherInterface):
    """Gives the files of a folder, and 404 for others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(f"{BASE}/")
        self.asked.append(name)
        path = self._folder / name
        if not path.is_file():
            raise DownloadHTTPError(name, 404)
        return iter([path.read_bytes()])


class Client:
    """A device: python-tuf, with a cache that stays."""

    def __init__(self, folder: Path, cache: Path, root: bytes, clock: FakeClock) -> None:
        self._folder, self._cache, self._root, self._clock = folder, cache, root, clock
        self.asked: list[str] = []

    def refreshed(self) -> Updater:
        """Refresh, at the clock's time; return what finds targets."""
        self._cache.mkdir(parents=True, exist_ok=True)
        fetcher = FolderFetcher(self._folder)
        self.asked = fetcher.asked
        updater = Updater(
            str(self._cache), f"{BASE}/metadata", str(self._cache), f"{BASE}/targets", fetcher,
            bootstrap=self._root,
        )  # fmt: skip
        # It takes no time from outside; the repository's clock is a test's.
        updater._trusted_set.reference_time = datetime.fromtimestamp(self._clock.utc(), UTC)
        updater.refresh()
        return updater

    def target(self, name: str) -> bytes | None:
        """Return a target's bytes, verified, or None where no role signs it."""
        updater = self.refreshed()
        found = updater.get_targetinfo(name)
        return None if found is None else Path(updater.download_target(found)).read_bytes()


class Rig:
    """A repository with all keys on one machine, and a bundle to publish."""

    def __init__(self, folder: str | Path, plan: Plan | None = SMALL, secret: str = "") -> None:
        self.folder, self.clock = Path(folder), FakeClock()
        folder = self.folder
        self.served = folder / "repository"
        self.keys = Keys(folder / "keys", secret)
        self.repository = self.with_keys(self.keys)
        if plan is not None:
            self.repository.create(plan)
        self.clients = 0

    def with_keys(self, keys: Keys) -> SignedRepository:
        """The same repository, with other keys at hand."""
        return SignedRepository(self.served, keys, self.clock)

    def client(self, name: str = "") -> Client:
        """A device with its own cache, or that of the same name of before; its app came with the first root."""
        self.clients += 1
        cache = self.folder / "caches" / (name or f"{self.clients}")
        return Client(self.served, cache, (self.served / "metadata/1.root.json").read_bytes(), self.clock)

    def add_sample(self) -> str:
        """Publish the sample bundle; return its digest."""
        bundle = write_sample_bundle(self.folder / "sample.eib")
        self.repository.add_bundle(bundle, "vision")
        (manifest,) = (self.served / "targets/models/vision").iterdir()
        return manifest.name.split(".")[0]

    def add_flags(self, release: int, **values: Any) -> Outcome:
        """Publish flags with a variant each."""
        return self.repository.add_flags(flags_document(release, **values))

    def files(self) -> dict[str, bytes]:
        """All that is served, by name."""
        return {
            str(path.relative_to(self.served)): path.read_bytes()
            for path in self.served.rglob("*")
            if path.is_file()
        }

    def metadata(self, name: str) -> dict[str, Any]:
        """What a served file of metadata says."""
        signed: dict[str, Any] = json.loads((self.served / "metadata" / name).read_bytes())["signed"]
        return signed


class Desk:
    """Machines that share drafts and what is served: one with the online keys, and one for each other key."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder, None)
        for name in (*ONLINE, *(f"{role}-{at}" for role in OFFLINE for at in (1, 2, 3))):
            self.rig.keys.make(name)
        self.publisher = self.at(*ONLINE)
        self.staging = self.publisher.storage.staging

    def at(self, *names: str) -> SignedRepository:
        """The repository on a machine with some private keys, which knows the public half of all."""
        here = self.rig.folder / "_".join(names)
        here.mkdir(exist_ok=True)
        for path in self.rig.keys.folder.iterdir():
            if path.suffix == ".json" or path.stem in names:
                shutil.copy(path, here)
        return self.rig.with_keys(Keys(here))

    def signed(self, role: str, *names: str) -> Outcome:
        """Sign on the machines of some keys; return what the last one was told."""
        for name in names:
            done = self.at(name).sign(role, yes)
        return done

    def made(self) -> None:
        """Make the repository: two of three holders sign each offline role."""
        self.publisher.create(LARGE)
        for role in OFFLINE:
            self.signed(role, f"{role}-1", f"{role}-2")
        self.publisher.sign("root", yes)

    def edit(self, role: str, **fields: object) -> None:
        """Change a draft by hand."""
        path = self.staging / f"{role}.json"
        draft = json.loads(path.read_bytes())
        draft["signed"].update(fields)
        path.write_text(json.dumps(draft))


def yes(_changes: object) -> bool:
    """Approve whatever a draft changes."""
    return True


def write_version(path: Path, version: str) -> Path:
    """The sample bundle as another version of it, with a document of its own; return its path."""
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    note = Document(blobs.add(f"version {version}".encode()), "text/plain")
    write_bundle(path, replace(manifest, version=version, documents={"note.txt": note}), blobs)
    return path


def flags_document(release: int, **values: Any) -> bytes:
    """Flags with a variant each; names with `_` for `-`."""
    flags = {
        name.replace("_", "-"): {"state": "ENABLED", "variants": {"v": value}, "defaultVariant": "v"}
        for name, value in values.items()
    }
    return json.dumps({"flags": flags, "metadata": {"version": str(release)}}).encode()


# What publishers do, by name; tests that kill them run these in other processes.
CHANGES: dict[str, Callable[[Rig], object]] = {
    "init": lambda rig: rig.repository.create(SMALL),
    "add": lambda rig: rig.repository.add_bundle(rig.folder / "other.eib", "vision"),
    "add a family": lambda rig: rig.repository.add_bundle(rig.folder / "other.eib", "other", Quorum(1, 1)),
    "flags": lambda rig: rig.add_flags(2),
    "lost": lambda rig: rig.repository.rotate("targets", KeyChange(), lost=True),
    "refresh": lambda rig: rig.repository.refresh(ROLES),
    **{
        f"rotate {role}": lambda rig, role=role: rig.repository.rotate(role, KeyChange())  # type: ignore[misc]
        for role in ROLES
    },
}
