"""Downloads that go on where they were.

Invariants:
* no byte beyond the signed length is written, and none that did not come with the status and the place asked for;
* what came stays when a connection breaks, this process is killed or the power fails, and is asked for no more;
* nothing is used before all of it was hashed; what is another is thrown away, once also where its first part is old.

Source: RFC 9110, sections 13.1.5 (If-Range), 14 (range requests).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import BinaryIO

from edgeinfer.bundle import Blob
from edgeinfer.errors import BadResponseError, NetworkError, UntrustedError, UpdateError
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock, atomic_file
from edgeinfer.net import Request, RetryPolicy, Transport, backoff
from edgeinfer.updates.bundle_store import BundleStore, storing

_draw = random.random
_OK, _PARTIAL, _GONE = 200, 206, 416


@frozen
class DownloadLimits:
    """What a download is given.

    Attributes:
        attempt_s: Seconds of one request; what came until then stays.
        least_bytes_s: An attempt that is slower than so many bytes a second counts as one without progress.
        attempts: Attempts without progress, one after the other, before it is left for another time.
    """

    attempt_s: float = 60.0
    least_bytes_s: float = 512.0
    attempts: int = 3


class Downloads:
    """Fetches blobs into a store.

    Args:
        url: The folder of blobs on the server.
        store: Where to.
        transport: What carries requests.
        clock: The time.
        limits: What each is given.
    """

    def __init__(
        self,
        url: str,
        store: BundleStore,
        transport: Transport,
        clock: Clock,
        limits: DownloadLimits | None = None,
    ) -> None:
        self._url, self._store, self._transport, self._clock = url.rstrip("/"), store, transport, clock
        self._limits = limits or DownloadLimits()

    def fetch(self, blob: Blob) -> None:
        """Have a blob in the store, whole and verified.

        Raises:
            UntrustedError: What the server has is another.
            UpdateError: It does not have it, or is too slow.
            NetworkError: It broke off, time and again.
            StoreError: It cannot be written.
        """
        began_before = self._received(blob) > 0
        self._complete(blob)
        if self._store.keep_blob(blob):
            return
        if began_before:  # the first part may be of something else
            self._complete(blob)
            if self._store.keep_blob(blob):
                return
        raise UntrustedError(
            f"what came for blob {blob.sha256[:12]} from {self._url}",
            found="other bytes",
            expected="those whose digest was signed",
            next_step="it was thrown away; check what the server has, and that nothing stands between",
        )

    def _complete(self, blob: Blob) -> None:
        """Receive until all bytes are there."""
        failures = 0
        while (before := self._received(blob)) < blob.size:
            started, lost = self._clock.monotonic(), None
            try:
                self._attempt(blob, before)
            except NetworkError as error:
                lost = error
            gained = self._received(blob) - before
            took_s = max(self._clock.monotonic() - started, 1e-9)
            progress = gained > 0 and (lost is None or gained >= self._limits.least_bytes_s * took_s)
            failures = 0 if progress else failures + 1
            if failures == self._limits.attempts:
                raise lost or UpdateError(
                    f"blob {blob.sha256[:12]} from {self._url} is cut short",
                    found=f"{before + gained} bytes",
                    expected=f"{blob.size}",
                    next_step="check what the server has",
                )
            if failures:
                self._clock.pause(backoff(RetryPolicy(), failures, _draw()))

    def _attempt(self, blob: Blob, at: int) -> None:
        where = f"{self._url}/{blob.sha256}"
        receiver = _Receiver(self._store, blob, at)
        headers = {"accept-encoding": "identity", **(receiver.resuming() if at else {})}
        request = Request("GET", where, headers=headers, max_bytes=blob.size, sink=receiver.sink)
        try:
            future = self._transport.begin(request, self._limits.attempt_s)
            try:
                answer = future.result()
            finally:
                future.cancel()
        finally:
            receiver.close()
        if answer.status == _GONE:
            receiver.forget()
        elif answer.status not in (_OK, _PARTIAL):
            raise UpdateError(
                f"{where} was answered with {answer.status}",
                expected=f"{_OK} or {_PARTIAL}",
                next_step="check that the server has all of what `edgeinfer repo` wrote",
            )

    def _received(self, blob: Blob) -> int:
        with storing(self._store.folder), suppress(FileNotFoundError):
            return (self._store.partial / blob.sha256).stat().st_size
        return 0


class _Receiver:
    """Writes what comes to the end of what is there, or anew where the server does not know ranges."""

    def __init__(self, store: BundleStore, blob: Blob, at: int) -> None:
        self._folder, self._blob, self._at = store.folder, blob, at
        self._path, self._sidecar = store.partial / blob.sha256, store.partial / f"{blob.sha256}.json"
        self._file: BinaryIO | None = None
        self._left = 0

    def resuming(self) -> dict[str, str]:
        """Return the headers that ask for the rest, of the same file as before where the server told which it was."""
        headers = {"range": f"bytes={self._at}-"}
        with suppress(OSError, ValueError, TypeError, KeyError):
            tag = json.loads(self._sidecar.read_bytes())["etag"]
            if isinstance(tag, str) and tag.startswith('"') and tag.isprintable():
                headers["if-range"] = tag
        return headers

    def sink(self, status: int, headers: Mapping[str, str]) -> Callable[[bytes], None]:
        """Take the body, or refuse an answer that cannot be the blob's."""
        if status not in (_OK, _PARTIAL):
            return _ignored
        start = self._at if status == _PARTIAL else 0
        rest = self._blob.size - start
        told = headers.get("content-range", "") if status == _PARTIAL else f"bytes {start}-"
        length = headers.get("content-length", str(rest))
        if not told.startswith(f"bytes {start}-") or length != str(rest) or "content-encoding" in headers:
            raise BadResponseError(
                f"what came for blob {self._blob.sha256[:12]} is something else",
                found=f"{length} bytes, {told or 'without a range'}",
                expected=f"{rest} bytes from {start}",
                next_step="check the address; a network that asks for a login answers like this too",
            )
        with storing(self._folder):
            with atomic_file(self._sidecar) as sidecar:
                sidecar.write(json.dumps({"size": self._blob.size, "etag": headers.get("etag", "")}).encode())
            self._file = self._path.open("ab" if start else "wb")
        self._left = rest
        return self._write

    def forget(self) -> None:
        """Begin anew: the server has less than was received."""
        with storing(self._folder):
            self._path.unlink(missing_ok=True)
            self._sidecar.unlink(missing_ok=True)

    def close(self) -> None:
        """Have on the disk what came."""
        file, self._file = self._file, None
        if file is not None:
            with storing(self._folder), file:
                file.flush()
                os.fsync(file.fileno())

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        self._left -= len(piece)
        if self._left < 0:
            raise BadResponseError(
                f"more came for blob {self._blob.sha256[:12]} than was signed",
                expected=f"{self._blob.size} bytes",
            )
        with storing(self._folder):
            self._file.write(piece)


def _ignored(piece: bytes) -> None:
    """Let go of a page that says what went wrong."""
