"""What a publisher has signed for this device: the document of flags, and the manifests of bundles.

Invariants:
* the role of the flags can sign flags alone: a stolen key of it can choose among the bundles that offline keys have
  signed, and bring no other;
* a manifest is taken only when it is the one of the digest that was asked for;
* the time that signed metadata told is kept before anything else is done with them.
"""

from __future__ import annotations

from pathlib import Path

from tuf.api.metadata import Signed, TargetFile, Targets

from edgeinfer.errors import StoreError, UntrustedError
from edgeinfer.host import Clock
from edgeinfer.net import Transport
from edgeinfer.updates.layout import (
    FLAGS_PATHS,
    FLAGS_ROLE,
    FLAGS_TARGET,
    ISSUED,
    METADATA,
    TARGETS,
    Server,
    manifest_target,
)
from edgeinfer.updates.trusted_time import SignedTimes, trusted_time
from edgeinfer.updates.tuf_client import TufClient

_MOST_BYTES = 4 * 1024 * 1024


class SignedReleases:
    """Reads a signed repository; one process of a home at a time may.

    Args:
        server: The repository.
        folder: Where verified metadata are kept.
        transport: What carries requests.
        clock: The time.
        times: What time signed metadata told.
    """

    def __init__(
        self, server: Server, folder: Path, transport: Transport, clock: Clock, times: SignedTimes
    ) -> None:
        self._url = server.url.rstrip("/")
        self._times, self._clock = times, clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} cannot be made ({error.strerror or error})") from error
        self._client = TufClient(folder, f"{self._url}/{METADATA}", server.root, transport, self.now)

    def now(self, keys: tuple[str, ...]) -> float:
        """Return the trusted time, given the keys that sign the timestamp."""
        return trusted_time(self._clock.utc(), self._times.latest(keys))

    def check(self) -> None:
        """Fetch and verify what is new; two small requests where nothing is.

        Raises:
            UpdateError: What came is not trusted, over, or not there.
            NetworkError: There was no whole answer.
            StoreError: It cannot be kept.
        """
        self._client.refresh()
        keys = tuple(sorted(self._client.root().roles["timestamp"].keyids))
        timestamp, targets = self._client.timestamp(), self._client.targets()
        self._times.saw(keys, max(map(_issued, (timestamp, targets))))
        _check_delegations(targets)

    def flags(self) -> TargetFile | None:
        """Return what is signed of the flags, or None where there are none; raises as `check` does."""
        return self._client.target(FLAGS_TARGET)

    def manifest(self, family: str, digest: str) -> TargetFile:
        """Return what is signed of a bundle's manifest.

        Raises:
            UntrustedError: The offline keys have not signed it.
            UpdateError: As `check`.
        """
        found = self._client.target(manifest_target(family, digest))
        if found is None or found.hashes.get("sha256") != digest:
            raise UntrustedError(
                f"bundle {digest[:12]} for {family}",
                found="a digest that the offline keys have not signed",
                next_step="sign it (`edgeinfer repo add`); if nobody chose it, the flags' key is stolen: rotate it",
            )
        return found

    def fetch(self, target: TargetFile) -> bytes:
        """Return the bytes of flags or a manifest, verified; raises as `check` does."""
        if target.length > _MOST_BYTES:
            raise UntrustedError(
                f"{target.path}", found=f"{target.length} bytes", expected=f"at most {_MOST_BYTES}"
            )
        return self._client.fetch(f"{self._url}/{TARGETS}", target)


def _issued(signed: Signed) -> float:
    """Return when something was signed; 0 where it does not say, or says that it was after its own end."""
    at = signed.unrecognized_fields.get(ISSUED, 0)
    valid = isinstance(at, int) and not isinstance(at, bool) and 0 <= at <= signed.expires.timestamp()
    return float(at) if valid else 0.0


def _check_delegations(targets: Targets) -> None:
    """Hold what is delegated to the online key against what may be."""
    roles = targets.delegations.roles if targets.delegations is not None else None
    granted = (roles or {}).get(FLAGS_ROLE)
    if granted is not None and tuple(granted.paths or ()) != FLAGS_PATHS:
        raise UntrustedError(
            f"the role {FLAGS_ROLE} may sign more than flags",
            found=", ".join(granted.paths or ("targets by their hashes",)),
            expected=", ".join(FLAGS_PATHS),
            next_step="the publisher has to delegate it anew",
        )
