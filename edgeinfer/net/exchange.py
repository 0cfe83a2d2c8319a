"""A request, its response, and the seam between those who ask and what carries it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import field
from typing import Protocol

from edgeinfer.frozen import frozen

_MOST_BYTES = 16 * 1024 * 1024


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
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    max_bytes: int = _MOST_BYTES
    apart: bool = False


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
