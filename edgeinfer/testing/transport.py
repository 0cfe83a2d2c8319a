"""A network without a network: a function answers, and every request is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from edgeinfer.cloud import Datatype, Tensor
from edgeinfer.cloud.messages import answer_message
from edgeinfer.cloud.tensors import Array, datatype_of, from_bytes, from_json
from edgeinfer.errors import BadResponseError, ConnectionLostError, NetworkError, NetworkTimeoutError
from edgeinfer.net import Request, Response
from edgeinfer.testing.clock import FakeClock

_PIECE = 65_536
Answer = Callable[[Request], Response | NetworkError]


class ScriptedTransport:
    """Implements the Transport protocol.

    Attributes:
        requests: All that were sent, in order.

    Args:
        answer: Answers a request, or says what goes wrong; a `FakeV2Server` for instance.
        clock: Is moved by what an answer takes.
        takes_s: Seconds that each answer takes; with a clock, one beyond the time allowed is a timeout.
    """

    def __init__(self, answer: Answer, clock: FakeClock | None = None, takes_s: float = 0.0) -> None:
        self.answer, self.takes_s = answer, takes_s
        self._clock = clock
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    @property
    def sent(self) -> bytes:
        """Every byte that was sent: addresses, headers and bodies."""
        return b"\n".join(
            part
            for each in self.requests
            for part in (each.url.encode(), json.dumps(dict(each.headers)).encode(), each.body)
        )

    def begin(self, request: Request, timeout_s: float) -> Future[Response]:
        """Answer at once."""
        with self._lock:
            self.requests.append(request)
        future: Future[Response] = Future()
        future.set_running_or_notify_cancel()
        if self._clock is not None:
            self._clock.advance(min(self.takes_s, timeout_s))
        result: Response | NetworkError = NetworkTimeoutError(f"{request.url} was not answered in time")
        if self.takes_s < timeout_s:
            result = self.answer(request)
        if not isinstance(result, NetworkError):
            result = _received(request, result)
        if isinstance(result, NetworkError):
            future.set_exception(result)
        else:
            future.set_result(result)
        return future

    def close(self) -> None:
        """Nothing is open."""


def _received(request: Request, answer: Response) -> Response | NetworkError:
    """Return an answer as a transport gives it: bounded, and handed to the request's sink where it wants it."""
    sink = request.sink and request.sink(answer.status, answer.headers)
    body = answer.body[: request.max_bytes]
    if sink:
        for at in range(0, len(body), _PIECE):
            sink(body[at : at + _PIECE])
    if len(answer.body) > request.max_bytes:
        most = f"at most {request.max_bytes} bytes"
        return BadResponseError(f"the answer to {request.url} is too large", expected=most)
    promised = answer.headers.get("content-length")
    if promised is not None and int(promised) > len(answer.body):
        return ConnectionLostError(f"the answer to {request.url} broke off")
    return Response(answer.status, answer.headers) if sink else answer


class FakeV2Server:
    """Speaks the Open Inference Protocol, for tests of apps; hand it to a `ScriptedTransport`.

    Attributes:
        fails: While it is set, what every inference gets instead of an answer.

    Args:
        model: From the inputs by name to the outputs by name.
        inputs: What the metadata says of inputs: datatype and shape by name.
        outputs: Likewise of outputs.
        binary: Whether it takes and gives bytes.
        extensions: What it says that it knows.
    """

    def __init__(
        self,
        model: Callable[[dict[str, Array]], dict[str, Array]],
        inputs: Mapping[str, tuple[Datatype, tuple[int, ...]]],
        outputs: Mapping[str, tuple[Datatype, tuple[int, ...]]],
        *,
        binary: bool = True,
        extensions: tuple[str, ...] = ("binary_tensor_data",),
    ) -> None:
        self._model, self._binary, self._extensions = model, binary, extensions
        self._tensors = {"inputs": inputs, "outputs": outputs}
        self.fails: Response | NetworkError | None = None

    def __call__(self, request: Request) -> Response | NetworkError:
        """Answer a request."""
        path = request.url.split("/v2", 1)[-1]
        if request.method == "GET":
            return _json(self._metadata(path))
        if self.fails is not None:
            return self.fails
        return self._inferred(request)

    def _metadata(self, path: str) -> dict[str, object]:
        if not path.startswith("/models/"):
            return {"name": "fake", "version": "1", "extensions": list(self._extensions)}
        described = {
            kind: [
                {"name": name, "datatype": datatype, "shape": list(shape)}
                for name, (datatype, shape) in each.items()
            ]
            for kind, each in self._tensors.items()
        }
        return {"name": path.split("/")[2], "versions": ["1"], "platform": "", **described}

    def _inferred(self, request: Request) -> Response:
        length = request.headers.get("inference-header-content-length")
        if length is not None and not self._binary:
            return Response(422, {}, b"")
        at = len(request.body) if length is None else int(length)
        asked, rest = json.loads(request.body[:at]), request.body[at:]
        inputs = {}
        for each in asked["inputs"]:
            size = each.get("parameters", {}).get("binary_data_size")
            shape = tuple(each["shape"])
            if size is None:
                inputs[each["name"]] = from_json(each["data"], each["name"], each["datatype"], shape).value
            else:
                inputs[each["name"]] = from_bytes(rest[:size], each["name"], each["datatype"], shape).value
                rest = rest[size:]
        given = self._model(inputs)
        tensors = [Tensor(name, datatype_of(value.dtype), value) for name, value in given.items()]
        return answer_message(asked["id"], "fake", tensors, binary=length is not None)


def _json(document: object) -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps(document).encode())
