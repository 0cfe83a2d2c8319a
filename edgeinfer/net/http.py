"""Requests over HTTP, by httpx2.

Invariants:
* an answer, whole, or an error is there when the time is up, whatever the server does, and the connection is ended;
* what comes back is bounded, unpacked;
* no redirect is followed, and no proxy or cookie is used that nobody named: what was meant for one server never goes
  to another, and no server can know a device again;
* httpx2 is imported with the first request.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import (
    BadResponseError,
    ConnectionLostError,
    NameNotFoundError,
    NetworkError,
    NetworkTimeoutError,
    TlsError,
    UnreachableError,
)
from edgeinfer.importing import imported
from edgeinfer.net.exchange import Request, Response
from edgeinfer.net.loop import submit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

_IDLE_CONNECTIONS = 4
_CLOSING_S = 2.0
# Share of a request's time in which its connection must be made.
_CONNECTING = 0.9


class HttpTransport:
    """Carries requests over HTTP/1.1, with connections kept for the next; safe to share between threads.

    Args:
        certificates: A file of certificates in PEM to trust instead of the system's.
        proxy: URL of a proxy; those of the environment are not used.
    """

    def __init__(self, certificates: str | os.PathLike[str] | None = None, proxy: str | None = None) -> None:
        self._certificates, self._proxy, self._closed = certificates, proxy, False
        self._client: httpx2.AsyncClient | None = None
        self._process = os.getpid()

    def begin(self, request: Request, timeout_s: float) -> Future[Response]:
        """Send a request; what `Transport.begin` says.

        Raises:
            NetworkError: In the future: there was no whole answer.
        """
        return submit(self._send(request, timeout_s))

    def close(self) -> None:
        """Give back connections; requests under way end."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            with suppress(Exception):
                submit(client.aclose()).result(_CLOSING_S)

    async def _send(self, request: Request, timeout_s: float) -> Response:
        try:
            async with asyncio.timeout(timeout_s), self._connected(apart=request.apart) as client:
                return await self._exchange(client, request, timeout_s)
        except TimeoutError:
            raise NetworkTimeoutError(
                f"{request.method} {request.url} was not answered in time",
                expected=f"an answer within {timeout_s:.3g} s",
            ) from None
        except ImportError as error:
            raise NetworkError(
                "a server is asked with the package httpx2, which cannot be imported",
                found=error.name or "another reason",
                next_step="pip install 'edgeinfer[cloud]'",
            ) from error
        except (OSError, ValueError) as error:  # a proxy or certificates that cannot be used
            raise NetworkError(f"{request.method} {request.url} failed ({type(error).__name__})") from error

    @asynccontextmanager
    async def _connected(self, *, apart: bool) -> AsyncIterator[httpx2.AsyncClient]:
        if self._closed:
            raise NetworkError("the connections to this server were closed")
        if apart:
            async with self._made() as client:
                yield client
            return
        if self._client is None or self._process != os.getpid():
            self._client, self._process = self._made(), os.getpid()
        yield self._client

    def _made(self) -> httpx2.AsyncClient:
        library: Any = imported("httpx2")
        try:
            trusted = (
                True
                if self._certificates is None
                else ssl.create_default_context(cafile=os.fspath(self._certificates))
            )
        except (OSError, ssl.SSLError) as error:
            raise TlsError(
                f"the certificates in {self._certificates} cannot be read ({error})",
                next_step="name a file in PEM",
            ) from error
        limits = library.Limits(max_keepalive_connections=_IDLE_CONNECTIONS)
        nothing = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        client: httpx2.AsyncClient = library.AsyncClient(
            verify=trusted,
            limits=limits,
            timeout=None,
            follow_redirects=False,
            trust_env=False,
            proxy=self._proxy,
            cookies=nothing,
            headers={"user-agent": "edgeinfer"},
        )
        return client

    async def _exchange(self, client: httpx2.AsyncClient, request: Request, timeout_s: float) -> Response:
        library: Any = imported("httpx2")
        # Cancelled from outside, a handshake under way would leave its socket open until it is collected.
        waiting = library.Timeout(None, connect=timeout_s * _CONNECTING)
        where = f"{request.method} {request.url}"
        try:
            async with client.stream(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body or None,
                timeout=waiting,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body, count = bytearray(), 0
                sink = request.sink and request.sink(answer.status_code, headers)
                async for chunk in answer.aiter_bytes():
                    count += len(chunk)
                    if count > request.max_bytes:
                        raise BadResponseError(
                            f"the answer to {where} is too large",
                            expected=f"at most {request.max_bytes} bytes",
                        )
                    (sink or body.extend)(chunk)
                return Response(answer.status_code, headers, bytes(body))
        except library.TimeoutException:
            raise TimeoutError from None
        except library.HTTPError as error:
            raise _network_error(where, error, library) from error
        except (library.InvalidURL, ValueError, OSError) as error:
            raise NetworkError(f"{where} failed ({error})") from error


def _network_error(where: str, error: Exception, library: Any) -> NetworkError:
    """Return what a failure means."""
    causes = list(_causes(error))
    told = f"{where} failed ({next(filter(None, map(str, causes)), type(error).__name__)})"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return NameNotFoundError(told, next_step="check the host's name and the network")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return TlsError(told, next_step="check the server's certificate, and the clock of this machine")
    if isinstance(error, library.ConnectError):
        return UnreachableError(told, next_step="check that the server runs, and its port")
    ended = ("disconnected", "closed")
    if isinstance(error, library.NetworkError) or any(word in str(error) for word in ended):
        return ConnectionLostError(told)
    if isinstance(error, library.RemoteProtocolError | library.DecodingError):
        return BadResponseError(told, next_step="check that it speaks HTTP")
    return NetworkError(told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = [error]
    for each in seen:
        yield each
        more = [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        seen += [cause for cause in more if cause is not None and cause not in seen]
