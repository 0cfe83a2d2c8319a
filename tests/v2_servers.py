"""Servers that are not ours, started as sample_apps/cloud_endpoint/serve.py does, and what they once said, recorded.

`python tests/v2_servers.py` in the project's folder records it anew into `tests/exchanges`.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeinfer.cloud import Endpoint, Tensor, V2Client
from edgeinfer.errors import CloudError
from edgeinfer.net import HttpTransport, Request, Response

ROOT = Path(__file__).parents[1]
EXCHANGES = Path(__file__).parent / "exchanges"
NAMES = ("kserve", "mlserver", "triton")
MODEL = "tiny"
_START_S, _STOP_S = 120.0, 15.0
# Of what servers say, what the client looks at.
_KEPT = ("content-type", "content-encoding", "inference-header-content-length", "retry-after")


def sample(name: str):
    """A program of `sample_apps/cloud_endpoint`, as a module."""
    path = ROOT / f"sample_apps/cloud_endpoint/{name}.py"
    spec = importlib.util.spec_from_file_location(f"cloud_endpoint_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


def tiny_model() -> bytes:
    """An ONNX file: `image` (batch, 3, 4, 4) to `logits` (batch, 5), a product with seeded weights."""
    weights = np.random.default_rng(7).standard_normal((48, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


def tiny_picture() -> np.ndarray:
    """An input of it."""
    return np.random.default_rng(8).standard_normal((1, 3, 4, 4)).astype(np.float32)


@contextmanager
def running(name: str, model: Path, served_as: str) -> Iterator[str]:
    """Run a server, its environment made if need be; yield its address.

    Raises:
        Unavailable: Its environment cannot be made here.
    """
    port = _free_ports()
    line = sample("serve").command(name, model, port=port, served_as=served_as)
    url = f"http://127.0.0.1:{port}"
    log = ROOT / f"build/servers/{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(line, stdout=file, stderr=file, cwd=ROOT, start_new_session=True)
        try:
            _wait_until_ready(url, served_as, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(_STOP_S)


def _free_ports() -> int:
    """Three in a row, as Triton wants them."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
        try:
            for each in range(port, port + 3):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port


def _wait_until_ready(url: str, model: str, process: subprocess.Popen, log: Path) -> None:
    client, waited = V2Client(Endpoint(url, model)), 0.0
    try:
        while not client.ready(deadline_s=5):
            waited += 0.25
            threading.Event().wait(0.25)
            if process.poll() is not None or waited > _START_S:
                raise AssertionError(f"{model} did not start:\n{log.read_text(errors='replace')[-3000:]}")
    finally:
        client.close()


class Recorder:
    """A transport that keeps what passes."""

    def __init__(self) -> None:
        self._real = HttpTransport()
        self.passed: list[dict[str, object]] = []

    def begin(self, request: Request, timeout_s: float) -> Future[Response]:
        response = self._real.begin(request, timeout_s).result(timeout_s)
        said = {"status": response.status, "body": base64.b64encode(response.body).decode()}
        said["headers"] = {name: value for name, value in response.headers.items() if name in _KEPT}
        asked = {"method": request.method, "path": request.url.split("/v2", 1)[1]}
        asked["body"] = base64.b64encode(request.body).decode()
        asked["headers"] = dict(request.headers)
        self.passed.append({"request": asked, "response": said})
        done: Future[Response] = Future()
        done.set_result(response)
        return done

    def close(self) -> None:
        self._real.close()


class Replay:
    """Answers as a server did, for a `ScriptedTransport`; ids are those of the new requests."""

    def __init__(self, name: str) -> None:
        self._passed = json.loads((EXCHANGES / f"{name}.json").read_text())

    def __call__(self, request: Request) -> Response:
        path, number = request.url.split("/v2", 1)[1], _id(request.body)
        for each in self._passed:
            asked, said = each["request"], each["response"]
            body = base64.b64decode(asked["body"])
            same = (asked["method"], asked["path"]) == (request.method, path)
            if same and body.replace(_id(body), number) == request.body:
                answer = base64.b64decode(said["body"])
                return Response(said["status"], said["headers"], answer.replace(_id(body), number))
        raise AssertionError(f"nothing was recorded for {request.method} {path}")


def _id(body: bytes) -> bytes:
    found = re.search(rb'"id":"([^"]+)"', body)
    return found[1] if found else b"(none)"


def ways(url: str) -> list[Endpoint]:
    """How the servers are asked: left open, as JSON, as bytes."""
    return [Endpoint(url, MODEL, binary=binary) for binary in (None, False, True)]


def main() -> None:
    """Record all servers."""
    EXCHANGES.mkdir(exist_ok=True)
    model = ROOT / "build/servers/tiny.onnx"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(tiny_model())
    picture = Tensor("image", "FP32", tiny_picture())
    for name in NAMES:
        recorder = Recorder()
        with running(name, model, MODEL) as url:
            for endpoint in ways(url):
                client = V2Client(endpoint, transport=recorder)
                try:
                    client.infer([picture], ("logits",))
                except CloudError as error:  # what a server cannot do is part of the record
                    sys.stdout.write(f"{name}, binary={endpoint.binary}: {error}\n")
            for shape in ((1, 3, 2, 2), (1, 48)):
                wrong = Tensor("image", "FP32", np.zeros(shape, np.float32))
                _send_unchecked(recorder, url, wrong)
        recorder.close()
        for each in recorder.passed:
            said = each["response"]
            if "text/plain" in said["headers"].get("content-type", ""):
                # Of a traceback, which names files of this machine, its first words are enough.
                said["body"] = base64.b64encode(base64.b64decode(said["body"])[:33]).decode()
        (EXCHANGES / f"{name}.json").write_text(json.dumps(recorder.passed, indent=1) + "\n")
        sys.stdout.write(f"{name}: {len(recorder.passed)} exchanges\n")


def _send_unchecked(recorder: Recorder, url: str, wrong: Tensor) -> None:
    from edgeinfer.cloud.messages import encode

    message = encode("wrong", [wrong], (), binary=False, packed=False)
    where = f"{url}/v2/models/{MODEL}/infer"
    recorder.begin(Request("POST", where, message.headers, message.body, apart=True), 10)


if __name__ == "__main__":
    main()
