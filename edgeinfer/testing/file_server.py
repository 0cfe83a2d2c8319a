"""A web server of static files without a network: what a signed repository needs, and what may go wrong with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgeinfer.errors import NetworkError
from edgeinfer.net import Request, Response

_RANGE = re.compile(r"bytes=(\d+)-")
Change = Callable[[Request, Response], Response | NetworkError]


class FakeFileServer:
    """Serves a folder as a web server does, with ETag and Range; hand it to a `ScriptedTransport`.

    Attributes:
        changes: Is given each answer, and may return another: a server that is broken, or attacked.
        body_bytes: Bytes of all bodies that were sent.

    Args:
        folder: What is served.
        ranges: Whether it knows ranges.
    """

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        self._folder, self._ranges = folder, ranges
        self.changes: Change | None = None
        self.body_bytes = 0

    def __call__(self, request: Request) -> Response | NetworkError:
        """Answer a request."""
        answer: Response | NetworkError = self._served(request)
        if self.changes is not None and isinstance(answer, Response):
            answer = self.changes(request, answer)
        if isinstance(answer, Response):
            self.body_bytes += len(answer.body)
        return answer

    def _served(self, request: Request) -> Response:
        path = self._folder / unquote(urlsplit(request.url).path).lstrip("/")
        if not path.is_file():
            return Response(404, {"content-length": "0"})
        data = path.read_bytes()
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        asked = {name.lower(): value for name, value in request.headers.items()}
        if asked.get("if-none-match") == tag:
            return Response(304, {"etag": tag})
        at = self._start(asked, tag)
        if at is None:
            return Response(200, {"etag": tag, "content-length": str(len(data))}, data)
        if at >= len(data):
            return Response(416, {"content-range": f"bytes */{len(data)}", "content-length": "0"})
        told = {"etag": tag, "content-length": str(len(data) - at)}
        told["content-range"] = f"bytes {at}-{len(data) - 1}/{len(data)}"
        return Response(206, told, data[at:])

    def _start(self, asked: dict[str, str], tag: str) -> int | None:
        """Return where the asked range begins, or None where all is sent."""
        found = _RANGE.fullmatch(asked.get("range", ""))
        if not self._ranges or found is None or asked.get("if-range", tag) != tag:
            return None
        return int(found.group(1))
