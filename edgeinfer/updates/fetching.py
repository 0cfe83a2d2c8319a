"""How TUF's client gets its metadata: over the transport of the house, bounded in bytes and time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from edgeinfer.errors import BadResponseError
from edgeinfer.host import atomic_file
from edgeinfer.net import Request, Response, Transport

_TIMEOUT_S = 30.0
_MOST_BYTES = 64 * 1024 * 1024
_OK, _NOT_MODIFIED = 200, 304
_ONLY_MOVING = "timestamp.json"  # all others have their version in their names


class Fetcher(FetcherInterface):
    """Fetches metadata and small targets.

    Args:
        transport: What carries requests.
        folder: Where the metadata of before lie: a timestamp that did not change is not sent again.
        timeout_s: Seconds in which an answer must be there, whole.
    """

    def __init__(self, transport: Transport, folder: Path, timeout_s: float = _TIMEOUT_S) -> None:
        self._transport, self._folder, self._timeout_s = transport, folder, timeout_s

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return what lies at a URL.

        Raises:
            DownloadHTTPError: There is something else.
            DownloadLengthMismatchError: It is too large.
            NetworkError: There was no whole answer.
        """
        moving = url.endswith(f"/{_ONLY_MOVING}")
        known, tag = self._before() if moving else (b"", "")
        headers = {"if-none-match": tag} if tag else {}
        answer = self._answer(Request("GET", url, headers=headers, max_bytes=max_length))
        if tag and answer.status == _NOT_MODIFIED:
            return known
        if answer.status != _OK:
            raise DownloadHTTPError(f"{url} was answered with {answer.status}", answer.status)
        if moving:
            self._remember(answer)
        return answer.body

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, _MOST_BYTES)

    def _answer(self, request: Request) -> Response:
        future = self._transport.begin(request, self._timeout_s)
        try:
            return future.result()
        except BadResponseError as error:
            if error.expected is not None:  # more bytes than there may be
                raise DownloadLengthMismatchError(str(error)) from error
            raise DownloadError(str(error)) from error
        finally:
            future.cancel()

    def _before(self) -> tuple[bytes, str]:
        """Return the timestamp of before with its tag; nothing where they do not belong together."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = (self._folder / _ONLY_MOVING).read_bytes()
            kept = json.loads(self._tag_file().read_bytes())
            if kept["sha256"] == hashlib.sha256(known).hexdigest():
                return known, str(kept["etag"])
        return b"", ""

    def _remember(self, answer: Response) -> None:
        tag = answer.headers.get("etag")
        if tag and tag.isprintable():
            kept = {"etag": tag, "sha256": hashlib.sha256(answer.body).hexdigest()}
            with suppress(OSError), atomic_file(self._tag_file()) as file:
                file.write(json.dumps(kept).encode())

    def _tag_file(self) -> Path:
        return self._folder / "timestamp.etag"
