"""A server on the loopback interface that does what a test says, down to the byte; metadata it always answers well."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np

from edgeinfer.net import Request, Response
from edgeinfer.testing import FakeV2Server

Behaviour = Callable[[socket.socket, Request, "FaultyServer"], None]


def sample_server() -> FakeV2Server:
    """What the sample bundle's `cloud` leads to: ten times surer than the device, `dark` first."""

    def model(inputs):
        mean = inputs["x"].mean((1, 2, 3))
        return {"y": np.stack([-10 * mean, 10 * mean], axis=1).astype(np.float32)}

    return FakeV2Server(model, {"x": ("FP32", (-1, 1, 4, 4))}, {"y": ("FP32", (-1, 2))})


class FaultyServer:
    """Serves each connection on a thread.

    Attributes:
        url: Its address.
        requests: What was asked.
        received: Every byte that came, of all connections.
        ended: Set when the test is over, so that what hangs ends.
    """

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
        self._behave, self._right = behave, sample_server()
        self._listening = socket.create_server(("127.0.0.1", 0))
        if tls is not None:
            self._listening = tls.wrap_socket(self._listening, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[Request] = []
        self.received = bytearray()
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._threads:
            each.join(10)

    def right(self, request: Request) -> Response:
        answer = self._right(request)
        assert isinstance(answer, Response)
        return answer

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed, or a handshake that the other side ended
                continue
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, suppress(OSError):
            while (request := self._read(connection)) is not None:
                self.requests.append(request)
                if request.method == "GET":
                    answer(connection, self.right(request))
                else:
                    self._behave(connection, request, self)

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            self.received += more
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            more = connection.recv(65536)
            self.received += more
            body += more
        method, path, _ = first.split()
        return Request(method, self.url + path, headers, body)


@contextmanager
def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    server = FaultyServer(behave, tls)
    try:
        yield server
    finally:
        server.close()


def written(response: Response) -> bytes:
    """HTTP/1.1, as it goes out."""
    headers = {**response.headers, "content-length": str(len(response.body))}
    lines = [f"HTTP/1.1 {response.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.body


def answer(connection: socket.socket, response: Response) -> None:
    connection.sendall(written(response))


def well(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    answer(connection, server.right(request))


def never(_connection: socket.socket, _request: Request, server: FaultyServer) -> None:
    server.ended.wait(20)


def half(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    data = written(server.right(request))
    connection.sendall(data[: len(data) - 10])
    server.ended.wait(20)


def drop_by_drop(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    for byte in written(server.right(request)):
        connection.sendall(bytes([byte]))
        if server.ended.wait(0.02):
            return


def reset(connection: socket.socket, _request: Request, _server: FaultyServer) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise OSError


def cut(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    data = written(server.right(request))
    connection.sendall(data[: len(data) - 10])
    connection.shutdown(socket.SHUT_RDWR)


def raw(data: bytes) -> Behaviour:
    def behave(connection: socket.socket, _request: Request, _server: FaultyServer) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    return behave


def says(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def behave(connection: socket.socket, _request: Request, _server: FaultyServer) -> None:
        answer(connection, Response(status, named, body))

    return behave


def changed(change: Callable[[bytes], bytes]) -> Behaviour:
    """Answers, asked for JSON or bytes, with a changed body."""

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        right = server.right(request)
        body = change(right.body)
        headers = dict(right.headers)
        answer(connection, Response(200, headers, body))

    return behave
