"""A request, its response, and the seam between those who ask and what carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import field
from typing import Protocol

from edgeinfer.frozen import frozen

_MOST_BYTES = 16 * 1024 * 1024
Sink = Callable[[bytes], object]


@frozen
class Request:
    """What is asked of a server. Headers and body are not shown: they hold credentials and inputs.

    Attributes:
        method: `GET` or `POST`.
        url: Where to, without credentials.
        headers: By name.
        body: Bytes, as they go out.
        max_bytes: The most that is read of the answer, unpacked.
        apart: Whether it gets a connection of its own that is thrown away, since the server may break it.
        sink: Is shown status and headers of the answer when they are there, and may return what takes its body piece by
            piece, so that what came before a connection broke is not lost; the response is then without a body. Called
            on the transport's thread; what it raises ends the request, as a `BadResponseError` where it is an OSError.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    max_bytes: int = _MOST_BYTES
    apart: bool = False
    sink: Callable[[int, Mapping[str, str]], Sink | None] | None = field(default=None, repr=False)


@frozen
class Response:
    """What a server answered.

    Attributes:
        status: HTTP's code.
        headers: By name in lower case.
        body: Bytes, unpacked.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Transport(Protocol):
    """Carries requests; `edgeinfer.testing.ScriptedTransport` is one without a network."""

    def begin(self, request: Request, timeout_s: float) -> Future[Response]:
        """Send a request.

        Args:
            request: What to ask.
            timeout_s: Seconds until the whole answer must be there.

        Returns:
            The response, whatever its status, or a `NetworkError`. Cancelling it ends the connection.
        """
        ...

    def close(self) -> None:
        """Give back connections; requests under way end."""
        ...
