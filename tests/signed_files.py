"""A signed repository that a test can also sign wrongly: TUF's metadata by hand, written as files."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edgeinfer.bundle import open_bundle
from edgeinfer.updates import (
    FLAGS_PATHS,
    FLAGS_ROLE,
    FLAGS_TARGET,
    ISSUED,
    family_paths,
    family_role,
    manifest_target,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
FAMILY = "vision"
_TOP = ("root", "targets", "snapshot", "timestamp")
_SERIALIZED = JSONSerializer(compact=False)


class SignedFiles:
    """The files of a repository, remade by `publish`.

    Attributes:
        signed: What each role says; a test changes it, and counts its version with `publish(role)`.
        signers: The keys of each role.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOW
        offline, online = ("root", "root", "targets", "targets"), ("snapshot", "timestamp", FLAGS_ROLE)
        self.signers: dict[str, list[CryptoSigner]] = {}
        for role in (*offline, *online, family_role(FAMILY)):
            self.signers.setdefault(role, []).append(CryptoSigner.generate_ed25519())
        end = NOW + timedelta(days=30)
        root = Root(expires=end, consistent_snapshot=True)
        for role in _TOP:
            for signer in self.signers[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = len(self.signers[role])
        targets = Targets(expires=end)
        targets.delegations = Delegations({}, {})
        self.signed: dict[str, Root | Targets | Snapshot | Timestamp] = {
            "root": root,
            "targets": targets,
            "snapshot": Snapshot(expires=end),
            "timestamp": Timestamp(expires=NOW + timedelta(days=7)),
        }
        for role, paths in ((FLAGS_ROLE, FLAGS_PATHS), (family_role(FAMILY), family_paths(FAMILY))):
            self.delegate(role, paths)
        for role in ("root", *self.signed):
            self.write(role)
        self.publish()

    @property
    def root(self) -> bytes:
        """The root metadata that an app would hold."""
        return (self.folder / "metadata/1.root.json").read_bytes()

    @property
    def targets(self) -> Targets:
        found = self.signed["targets"]
        assert isinstance(found, Targets)
        return found

    def delegate(self, role: str, paths: tuple[str, ...]) -> None:
        """Let a role of its own keys sign targets."""
        delegations = self.targets.delegations
        assert delegations is not None
        assert delegations.roles is not None
        delegations.roles[role] = DelegatedRole(role, [], 1, terminating=True, paths=list(paths))
        for signer in self.signers[role]:
            self.targets.add_key(signer.public_key, role)
        self.signed.setdefault(role, Targets(expires=NOW + timedelta(days=30)))

    def add(self, role: str, name: str, data: bytes) -> None:
        """Have a role sign a target, and write it."""
        target = TargetFile.from_data(name, data, ["sha256"])
        signed = self.signed[role]
        assert isinstance(signed, Targets)
        signed.targets[name] = target
        folder, _, last = name.rpartition("/")
        self.put(f"targets/{folder}/{target.hashes['sha256']}.{last}", data)

    def add_flags(self, data: bytes) -> None:
        """Sign and publish a document of flags."""
        self.add(FLAGS_ROLE, FLAGS_TARGET, data)
        self.publish(FLAGS_ROLE)

    def add_bundle(self, path: Path, family: str = FAMILY) -> str:
        """Sign and publish a bundle; return its digest."""
        with open_bundle(path) as bundle:
            for blob in bundle.manifest.blobs().values():
                self.put(f"blobs/sha256/{blob.sha256}", bundle.read(blob))
            self.add(family_role(family), manifest_target(family, bundle.digest), bundle.manifest_bytes)
        self.publish(family_role(family))
        return bundle.digest

    def publish(self, *changed: str) -> None:
        """Sign and write what changed, the snapshot and the timestamp."""
        for role in changed:
            self.signed[role].version += 1
            self.write(role)
        snapshot, timestamp = self.signed["snapshot"], self.signed["timestamp"]
        assert isinstance(snapshot, Snapshot)
        assert isinstance(timestamp, Timestamp)
        snapshot.meta = {
            f"{role}.json": MetaFile(each.version)
            for role, each in self.signed.items()
            if isinstance(each, Targets)
        }
        snapshot.version += 1
        self.write("snapshot")
        timestamp.snapshot_meta = MetaFile(snapshot.version)
        timestamp.version += 1
        self.write("timestamp")

    def write(self, role: str, signers: list[CryptoSigner] | None = None) -> None:
        """Sign a role as it is and write it."""
        signed = self.signed[role]
        signed.unrecognized_fields[ISSUED] = int(self.now.timestamp())
        metadata = Metadata(signed)
        for signer in self.signers[role] if signers is None else signers:
            metadata.sign(signer, append=True)
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self.put(f"metadata/{name}", metadata.to_bytes(_SERIALIZED))

    def put(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
