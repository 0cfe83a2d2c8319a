"""What a client of the cloud sends: messages, the probe, the journal, credentials, and nothing that does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cloud_fakes import (
    BUSY,
    BYTES_OF_X,
    URL,
    Journal,
    X,
    a_client,
    a_server,
    both_ways,
    first,
    journaled,
    posts,
    unpacked,
)

import edgeinfer as ei
from edgeinfer.cloud import Endpoint, Tensor, V2Client
from edgeinfer.errors import (
    BadResponseError,
    CloudError,
    CloudRefusedError,
    CloudRequestError,
    ConnectionLostError,
    StoreError,
    UnreachableError,
)
from edgeinfer.net import Response, RetryPolicy
from edgeinfer.testing import FakeClock, FakeV2Server, ScriptedTransport


@both_ways
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_every_form_of_message_gives_the_same_numbers(ask, binary, packed):
    client, transport, _ = a_client(unpacked(a_server()), binary=binary, gzip=packed)
    found = ask(client, outputs=["y"])
    assert found.tensors["y"].value.tolist() == [[3.75, -1.5]]
    assert found.tensors["y"].value.dtype == np.float32
    assert (found.server, found.requests) == ("fake 1", 3)
    assert found.sent_bytes == sum(len(each.body) for each in transport.requests)
    headers = posts(transport)[0].headers
    assert headers["content-type"] == ("application/octet-stream" if binary else "application/json")
    assert headers.get("content-encoding") == ("gzip" if packed else None)
    assert [each.url for each in transport.requests] == [
        f"{URL}/v2", f"{URL}/v2/models/m", f"{URL}/v2/models/m/infer",
    ]  # fmt: skip


@both_ways
@pytest.mark.parametrize(
    ("said", "wanted", "able", "probes", "as_bytes"),
    [
        (True, None, True, 0, True),
        (True, False, True, 0, False),
        (True, True, True, 0, True),
        (False, True, True, 0, True),
        (False, False, True, 0, False),
        (False, None, True, 1, True),
        (False, None, False, 1, False),
    ],
)
def test_bytes_are_used_where_the_server_or_the_app_says_so_or_a_probe_worked(
    ask, said, wanted, able, probes, as_bytes
):
    server = a_server(binary=able, extensions=("binary_tensor_data",) if said else ())
    client, transport, _ = a_client(server, binary=wanted)
    for _ in range(3):
        assert ask(client).tensors["y"].value.tolist() == [[3.75, -1.5]]
    asked = [each for each in posts(transport) if not each.apart]
    assert (len(posts(transport)) - len(asked), len(asked)) == (probes, 3)
    assert len(transport.requests) == 2 + probes + 3, "found out once"
    kind = "application/octet-stream" if as_bytes else "application/json"
    assert {each.headers["content-type"] for each in asked} == {kind}


@both_ways
def test_a_probe_holds_zeros_alone_and_has_a_connection_of_its_own(ask):
    client, transport, _ = a_client(a_server(extensions=()))
    ask(client)
    probe, asked = posts(transport)
    assert (probe.apart, asked.apart) == (True, False)
    at = int(probe.headers["inference-header-content-length"])
    assert probe.body[at:] == bytes(8)
    assert json.loads(probe.body[:at])["inputs"][0]["shape"] == [1, 2]
    assert BYTES_OF_X not in probe.body
    assert b"1.25" not in probe.body
    assert BYTES_OF_X in asked.body


@both_ways
@pytest.mark.parametrize("error", [ConnectionLostError("it broke off"), BadResponseError("no HTTP")])
def test_a_server_that_breaks_off_a_probe_gets_json_from_then_on(ask, error):
    server = a_server(extensions=())
    client, transport, _ = a_client(lambda request: error if request.apart else server(request))
    for _ in range(2):
        assert ask(client).tensors["y"].value.tolist() == [[3.75, -1.5]]
    assert [each.apart for each in posts(transport)] == [True, False, False]
    assert client.health.failures == 0


@both_ways
@pytest.mark.parametrize("status", [401, 408, 429, 502, 503, 504])
def test_a_server_that_is_busy_when_it_is_probed_is_not_taken_for_one_without_bytes(ask, status):
    server = a_server(extensions=())
    client, transport, clock = a_client(server)
    server.fails = Response(status)
    with pytest.raises(CloudError):
        ask(client)
    server.fails = None
    clock.advance(300)
    for _ in range(2):
        ask(client)
    assert posts(transport)[-1].headers["content-type"] == "application/octet-stream"


def test_bytes_inputs_are_not_probed():
    server = FakeV2Server(lambda _: {"y": np.float32([1])}, {"x": ("BYTES", (-1,))}, {}, extensions=())
    client, transport, _ = a_client(server)
    client.infer([Tensor("x", "BYTES", np.array([b"\xff"], object))])
    assert [each.apart for each in posts(transport)] == [False]


def test_what_is_known_of_a_server_is_not_asked_again():
    class Known(dict):
        put = dict.__setitem__

    known, transport = Known(), ScriptedTransport(a_server(extensions=()))
    for _ in range(3):
        V2Client(Endpoint(URL), "m", transport=transport, clock=FakeClock(), known=known).infer(X)
    assert list(known) == [f"{URL}/v2/models/m"]
    assert [each.apart for each in posts(transport)] == [True, False, False, False]
    assert len(transport.requests) == 2 + 4


def test_every_request_has_an_id_of_its_own():
    client, transport, _ = a_client(a_server(), binary=False)
    for _ in range(50):
        client.infer(X)
    assert len({json.loads(each.body)["id"] for each in posts(transport)}) == 50


def test_the_journal_is_told_of_every_request_and_how_it_ended():
    client, transport, clock = a_client(
        first([BUSY, ConnectionLostError("off")], a_server()), retry=RetryPolicy(reserve=2)
    )
    journal = Journal()
    journaled(client, transport, clock, journal)
    assert [each[:2] for each in journal.told] == [[each.url, len(each.body)] for each in transport.requests]
    assert [each[2] for each in journal.told] == ["metadata", "metadata", "unsure", "retry", "retry"]
    assert [each[3] for each in journal.told[2:]] == ["status 503", "ConnectionLostError", "status 200"]


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_what_the_journal_refuses_is_not_sent(at):
    client, transport, clock = a_client(a_server(extensions=()))
    with pytest.raises(StoreError, match="the disk is full"):
        journaled(client, transport, clock, Journal(fails_at=at))
    assert len(transport.requests) == at
    assert BYTES_OF_X not in transport.sent


@both_ways
def test_credentials_are_asked_for_before_each_request(ask):
    asked = []
    client, transport, _ = a_client(
        a_server(), headers=lambda: {"Authorization": f"token {asked.append(1) or len(asked)}"}
    )
    ask(client)
    ask(client)
    assert [each.headers["Authorization"] for each in transport.requests] == [
        f"token {n}" for n in (1, 2, 3, 4)
    ]


@both_ways
@pytest.mark.parametrize(
    "given", [RuntimeError("hunter2"), OSError("hunter2"), UnreachableError("hunter2"), None, 5]
)
def test_credentials_that_cannot_be_had_keep_the_request_back_and_are_not_shown(ask, given):
    def credentials():
        if isinstance(given, Exception):
            raise given
        return given

    client, transport, _ = a_client(a_server(), headers=credentials)
    for _ in range(9):
        with pytest.raises(CloudRefusedError) as caught:
            ask(client)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__suppress_context__
        assert caught.value.__cause__ is None
    assert (transport.requests, client.health.circuit) == ([], "closed")


@both_ways
def test_credentials_with_a_line_end_keep_the_request_back(ask):
    client, transport, _ = a_client(a_server(), headers=lambda: {"Authorization": "hunter2\r\nX: 1"})
    with pytest.raises(ei.InputError, match="the value of header Authorization") as caught:
        ask(client)
    assert "hunter2" not in str(caught.value)
    assert transport.requests == []


@both_ways
@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [Tensor("z", "FP32", X[0].value)],
        [*X, *X],
        [Tensor("x", "FP32", np.zeros((1, 3), np.float32))],
        [Tensor("x", "FP32", np.zeros(2, np.float32))],
        [Tensor("x", "FP64", np.zeros((1, 2)))],
    ],
)
@pytest.mark.parametrize("extensions", [(), ("binary_tensor_data",)])
def test_inputs_that_do_not_fit_are_not_sent(ask, inputs, extensions):
    client, transport, _ = a_client(a_server(extensions=extensions))
    with pytest.raises(ei.InputError, match="of the cloud's model"):
        ask(client, inputs)
    assert posts(transport) == []


def test_what_the_app_s_check_refuses_is_not_sent():
    def check(model):
        raise ei.InputError(f"{model.name} is not mine")

    transport = ScriptedTransport(a_server())
    client = V2Client(Endpoint(URL), "m", transport=transport, clock=FakeClock(), check=check)
    with pytest.raises(ei.InputError, match="m is not mine"):
        client.infer(X)
    assert posts(transport) == []


@both_ways
def test_a_server_whose_model_changed_is_asked_anew_a_minute_later(ask):
    client, transport, clock = a_client(a_server((-1, 2)))
    ask(client)
    clock.advance(60)
    transport.answer = first([Response(400, {}, b'{"error": "shape"}')], a_server((-1, 3)))
    with pytest.raises(CloudRequestError, match="status 400: shape"):
        ask(client)
    with pytest.raises(ei.InputError, match="the shape of input x"):
        ask(client)
    wider = [Tensor("x", "FP32", np.ones((1, 3), np.float32))]
    assert ask(client, wider).tensors["y"].value.tolist() == [[3, 3, 3]]


def test_a_question_about_the_server_sends_no_input():
    client, transport, _ = a_client(a_server())
    found = client.metadata()
    assert (found.server.name, found.server.version, found.binary) == ("fake", "1", True)
    assert [(each.name, each.datatype, each.shape) for each in found.model.inputs] == [("x", "FP32", (-1, 2))]
    assert posts(transport) == []
    assert client.health.calls == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response(200), True),
        (Response(200, {}, b'{"name": "m", "ready": true}'), True),
        (Response(200, {}, b'{"name": "m", "ready": false}'), False),
        (Response(200, {}, b'{"ready":false}'), False),
        (Response(400), False),
        (Response(404), False),
        (Response(503), False),
        (UnreachableError("off"), False),
    ],
)
def test_a_model_is_ready_where_its_server_says_so(answer, expected):
    client, transport, _ = a_client(lambda _: answer)
    assert client.ready() is expected
    assert [each.url for each in transport.requests] == [f"{URL}/v2/models/m/ready"]
