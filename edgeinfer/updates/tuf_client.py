"""TUF's client workflow, by python-tuf, with the transport, the time and the errors of the house.

Invariants:
* nothing is trusted but what a chain of signatures leads to from the root that came with the app;
* metadata of before are never replaced by older ones, and none is read in full that is larger than it may be;
* what is over is judged by the trusted time, and not by the system's clock.

Source: The Update Framework Specification 1.0, section 5 (detailed client workflow).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

from edgeinfer.errors import (
    EdgeInferError,
    ExpiredError,
    NetworkError,
    StoreError,
    UntrustedError,
    UpdateError,
)
from edgeinfer.net import Transport
from edgeinfer.updates.fetching import Fetcher

Kind = TypeVar("Kind", Root, Targets, Timestamp)
_PORTAL = "check the address; a network that asks for a login answers like this too"


class TufClient:
    """The metadata of one repository, as a folder keeps them; one process at a time may use it.

    Args:
        folder: Where verified metadata are kept; it is there.
        url: Where the repository's metadata lie.
        root: The first root metadata, as they came with the app; None takes what the folder has for it.
        transport: What carries requests.
        now: Returns the trusted time in seconds since 1970, given the key ids of the timestamp role.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        root: bytes | None,
        transport: Transport,
        now: Callable[[tuple[str, ...]], float],
    ) -> None:
        self.folder, self._url, self._root, self._now = folder, url, root, now
        self._fetcher = Fetcher(transport, folder)
        self._updater: Updater | None = None

    def refresh(self) -> None:
        """Fetch and verify what is new of root, timestamp, snapshot and targets.

        Raises:
            ExpiredError: What there is was signed too long ago.
            UntrustedError: What came is not signed as it must be, is older, damaged or too large.
            UpdateError: The server does not have it.
            NetworkError: There was no whole answer.
            StoreError: The folder cannot be written.
        """
        self._sweep()
        with _translated(self._url):
            updater, keys = self._made()
            try:
                updater.refresh()
            except exceptions.ExpiredMetadataError:
                # A root that came just now may have replaced the key that told the time.
                if self._timestamp_keys() == keys:
                    raise
                updater, _ = self._made()
                updater.refresh()
        self._updater = updater
        self._flush()

    def target(self, name: str) -> TargetFile | None:
        """Return what the signed metadata say of a target, or None where they name none; raises as `refresh` does."""
        assert self._updater is not None, "refreshed first"
        with _translated(self._url):
            return self._updater.get_targetinfo(name)

    def fetch(self, url: str, target: TargetFile) -> bytes:
        """Return a small target's bytes, verified; raises as `refresh` does.

        Args:
            url: Where the targets lie.
            target: From `target`.
        """
        folder, _, name = target.path.rpartition("/")
        hashes = list(target.hashes.values())
        where = "/".join(
            filter(None, (url.rstrip("/"), folder, f"{hashes[0]}.{name}" if self._prefixed else name))
        )
        with _translated(url):
            data = self._fetcher.download_bytes(where, target.length)
            target.verify_length_and_hashes(data)
        return data

    def is_right(self, target: TargetFile, data: bytes) -> bool:
        """Whether some bytes are those of a target."""
        try:
            target.verify_length_and_hashes(data)
        except exceptions.LengthOrHashMismatchError:
            return False
        return True

    def targets(self) -> Targets:
        """Return the top-level targets, as they were verified."""
        return self._signed(Targets, "targets")

    def timestamp(self) -> Timestamp:
        """Return the timestamp, as it was verified."""
        return self._signed(Timestamp, "timestamp")

    def root(self) -> Root:
        """Return the root, as it was verified."""
        return self._signed(Root, "root")

    @property
    def _prefixed(self) -> bool:
        return bool(self.root().consistent_snapshot)

    def _made(self) -> tuple[Updater, tuple[str, ...]]:
        """Return an updater, and the keys whose time it judges by."""
        known = self._known_keys()  # of the newest root; a new updater begins with the first again
        updater = Updater(
            str(self.folder), self._url, target_dir=None, fetcher=self._fetcher, bootstrap=self._root
        )
        keys = known or self._timestamp_keys()
        # Private, and the one place that judges what is over; a test holds that it still is.
        updater._trusted_set.reference_time = datetime.fromtimestamp(self._now(keys), UTC)
        return updater, keys

    def _known_keys(self) -> tuple[str, ...]:
        """Return the keys of the timestamp as the last refresh left them; none where there was no refresh."""
        try:
            return self._timestamp_keys()
        except EdgeInferError:
            return ()

    def _timestamp_keys(self) -> tuple[str, ...]:
        return tuple(sorted(self.root().roles["timestamp"].keyids))

    def _signed(self, kind: type[Kind], role: str) -> Kind:
        with _translated(self._url):
            found = Metadata.from_bytes((self.folder / f"{role}.json").read_bytes()).signed
        assert isinstance(found, kind), f"{role}.json was verified"
        return found

    def _sweep(self) -> None:
        """Remove what a process that was killed left behind while python-tuf wrote a file."""
        for each in self.folder.glob("tmp*"):
            each.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Have what was verified on the disk: python-tuf leaves that to the system, and so to the power."""
        for each in self.folder.glob("*.json"):
            handle = os.open(each, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what python-tuf raises into the house's errors."""
    try:
        yield
    except EdgeInferError:
        raise
    except exceptions.ExpiredMetadataError as error:
        raise ExpiredError(
            f"the metadata of {url} are not taken ({error})",
            next_step="check this machine's clock; if it is right, the publisher has to run `edgeinfer repo refresh`",
        ) from error
    except exceptions.DownloadLengthMismatchError as error:
        raise UntrustedError(f"what came from {url} is larger than it may be ({error})") from error
    except exceptions.DownloadHTTPError as error:
        raise UpdateError(f"{error}", next_step=_PORTAL) from error
    except exceptions.DownloadError as error:
        if isinstance(error.__cause__, NetworkError):
            raise error.__cause__ from None
        raise UpdateError(f"{url} cannot be read ({error})", next_step=_PORTAL) from error
    except exceptions.RepositoryError as error:
        raise UntrustedError(
            f"what came from {url} is not trusted ({type(error).__name__}: {error})", next_step=_PORTAL
        ) from error
    except OSError as error:
        raise StoreError(
            f"verified metadata cannot be kept ({error.strerror or error})", next_step="free space"
        ) from error
