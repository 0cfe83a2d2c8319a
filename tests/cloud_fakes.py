"""A server, a client of it and a journal, for tests of how a model in the cloud is asked."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.cloud import Call, Endpoint, Tensor, V2Client
from edgeinfer.errors import StoreError
from edgeinfer.net import Performer, Response, performed
from edgeinfer.testing import FakeClock, FakeV2Server, ScriptedTransport

URL = "https://models.example.org"
X = [Tensor("x", "FP32", np.array([[1.25, -0.5]], np.float32))]
BYTES_OF_X = X[0].value.tobytes()
BUSY = Response(503)


def a_server(shape=(-1, 2), inputs=None, **options):
    """A server whose model triples."""
    inputs = {"x": ("FP32", shape)} if inputs is None else inputs
    return FakeV2Server(
        lambda given: {"y": given["x"] * np.float32(3)}, inputs, {"y": ("FP32", shape)}, **options
    )


def a_client(answer, takes_s=0.0, **endpoint):
    """A client of it that draws the longest pauses, its transport and its clock."""
    clock = FakeClock()
    transport = ScriptedTransport(answer, clock, takes_s)
    client = V2Client(Endpoint(URL, **endpoint), "m", transport=transport, clock=clock, draw=lambda: 1.0)
    return client, transport, clock


def posts(transport):
    """The inferences among all requests."""
    return [each for each in transport.requests if each.method == "POST"]


def first(failures, server):
    """A server whose inferences fail in these ways before it works."""
    left = list(failures)
    return lambda request: left.pop(0) if left and request.method == "POST" else server(request)


def unpacked(server):
    """The server behind something that unpacks gzip."""

    def answer(request):
        packed = request.headers.get("content-encoding") == "gzip"
        return server(replace(request, body=gzip.decompress(request.body)) if packed else request)

    return answer


class Journal:
    """Keeps what it is told; may fail."""

    def __init__(self, fails_at=None):
        self.told, self._fails_at = [], fails_at

    def begin(self, url, size, why):
        if len(self.told) == self._fails_at:
            raise StoreError("the disk is full")
        self.told.append([url, size, why, None])
        return len(self.told) - 1

    def end(self, number, outcome):
        self.told[number][3] = outcome


def journaled(client, transport, clock, journal):
    """Ask with a journal."""
    call = Call(clock.monotonic() + 10, journal, "unsure")
    return performed(client.steps(X, ["y"], call), Performer(clock, transport).now)


def on_a_thread(client, inputs=X, **more):
    """Ask a model."""
    return client.infer(inputs, **more)


def in_a_loop(client, inputs=X, **more):
    """Ask a model in an event loop of its own."""
    return asyncio.run(client.ainfer(inputs, **more))


both_ways = pytest.mark.parametrize("ask", [on_a_thread, in_a_loop])
