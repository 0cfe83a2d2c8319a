"""How a client of the cloud meets failures: what it asks again, for how long, and when it leaves a server alone."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from cloud_fakes import BUSY, X, a_client, a_server, both_ways, first, posts

from edgeinfer.errors import (
    CircuitOpenError,
    CloudAnswerError,
    CloudError,
    CloudFailedError,
    CloudRefusedError,
    CloudRequestError,
    NetworkError,
    NetworkTimeoutError,
    UnreachableError,
)
from edgeinfer.net import CircuitLimits, Response, RetryPolicy

TRIPLED = [[3.75, -1.5]]
HTML = Response(200, {"content-type": "text/html"}, b"<html>welcome to our proxy</html>")
TOUCHY = {"circuit": CircuitLimits(failures=1), "retry": RetryPolicy(attempts=1)}


@both_ways
def test_a_server_that_asks_for_an_hour_gets_one_request(ask):
    client, transport, clock = a_client(first([Response(429, {"retry-after": "3600"})], a_server()))
    with pytest.raises(CloudFailedError, match="status 429"):
        ask(client)
    assert clock.pauses == []
    assert client.left_alone
    for _ in range(5):
        with pytest.raises(CircuitOpenError, match="the server asks to be left alone for 3600 s"):
            ask(client)
    assert len(posts(transport)) == 1
    clock.advance(300)  # no wish is granted for longer
    assert ask(client).tensors["y"].value.tolist() == TRIPLED


@both_ways
@pytest.mark.parametrize(
    ("said", "seconds"), [("1", 1.0), ("Fri, 15 Jan 2027 08:00:02 GMT", 2.0), ("0", 0.1), ("soon", 0.1)]
)
def test_a_wish_within_the_deadline_is_waited_for(ask, said, seconds):
    client, transport, clock = a_client(first([Response(429, {"retry-after": said})], a_server()))
    assert ask(client, deadline_s=3).tensors["y"].value.tolist() == TRIPLED
    assert (clock.pauses, len(posts(transport))) == ([seconds], 2)


@both_ways
@pytest.mark.parametrize(
    "failure", [Response(502), BUSY, Response(504), Response(408), UnreachableError("off")]
)
def test_what_may_pass_is_asked_again_as_often_as_the_policy_says(ask, failure):
    policy = RetryPolicy(attempts=3, reserve=5)
    client, transport, clock = a_client(first([failure] * 2, a_server()), retry=policy)
    assert ask(client).requests == 5
    assert clock.pauses == pytest.approx([0.1, 0.2])
    client, transport, _ = a_client(first([failure] * 9, a_server()), retry=policy)
    with pytest.raises((CloudFailedError, UnreachableError)):
        ask(client)
    assert len(posts(transport)) == 3
    assert (client.health.requests, client.health.retries, client.health.calls) == (5, 2, 1)


@both_ways
@pytest.mark.parametrize(("inputs", "expected"), [(None, 2), ({}, 1)])
def test_a_500_is_asked_again_only_where_the_input_cannot_be_its_cause(ask, inputs, expected):
    client, transport, _ = a_client(first([Response(500)] * 9, a_server(inputs=inputs)))
    with pytest.raises(CloudFailedError):
        ask(client)
    assert len(posts(transport)) == expected


@both_ways
@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CloudRefusedError), (403, CloudRefusedError), (404, CloudRequestError), (302, CloudRequestError)],
)
def test_a_server_that_would_refuse_every_call_is_left_alone_for_a_minute(ask, status, error):
    client, transport, clock = a_client(first([Response(status)], a_server()))
    with pytest.raises(error):
        ask(client)
    clock.advance(59)
    with pytest.raises(CircuitOpenError, match=f"status {status}"):
        ask(client)
    assert len(posts(transport)) == 1
    clock.advance(1)
    assert ask(client).tensors["y"].value.tolist() == TRIPLED


@both_ways
def test_a_wrong_request_does_not_speak_against_the_server(ask):
    client, transport, _ = a_client(first([Response(400)] * 20, a_server()))
    for _ in range(20):
        with pytest.raises(CloudRequestError):
            ask(client)
    assert client.health.circuit == "closed"
    assert len(posts(transport)) == 20
    assert ask(client).tensors["y"].value.tolist() == TRIPLED


@both_ways
@pytest.mark.parametrize("takes_s", [0.0, 0.3, 0.9, 5.0])
@pytest.mark.parametrize(
    "failure",
    [BUSY, Response(429, {"retry-after": "1"}), Response(503, {"retry-after": "2"}), UnreachableError("off")],
)
@pytest.mark.parametrize("deadline_s", [0.05, 1.0, 3.0])
def test_no_call_outlives_its_deadline(ask, takes_s, failure, deadline_s):
    policy = RetryPolicy(attempts=10, first_ms=700, reserve=100)
    endpoint = {"retry": policy, "circuit": CircuitLimits(failures=1000)}
    client, _, clock = a_client(first([failure] * 99, a_server()), takes_s, **endpoint)
    began = clock.monotonic()
    with pytest.raises((CloudError, NetworkError)):
        ask(client, deadline_s=deadline_s)
    assert clock.monotonic() - began <= deadline_s + 1e-9


@pytest.mark.parametrize("everything", [True, False])
def test_an_outage_is_not_amplified(everything):
    server = a_server()
    endless = {"retry": RetryPolicy(attempts=5), "circuit": CircuitLimits(failures=10**9)}
    client, transport, _ = a_client(server, **endless)
    if not everything:
        client.infer(X)
    transport.answer = first([BUSY] * 10_000, server) if not everything else lambda _: UnreachableError("off")
    transport.requests.clear()
    for _ in range(600):
        with pytest.raises((CloudFailedError, UnreachableError)):
            client.infer(X)
    assert 600 <= len(transport.requests) <= 1.2 * 600


def test_a_circuit_keeps_an_outage_of_ten_minutes_to_a_few_requests():
    client, transport, clock = a_client(lambda _: UnreachableError("off"))
    for _ in range(600):
        with pytest.raises((CircuitOpenError, UnreachableError)):
            client.infer(X)
        clock.advance(1)
    assert 5 <= len(transport.requests) <= 15


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_server_that_says_nothing_of_itself_is_asked_all_the_same(status):
    server = a_server()
    client, _, _ = a_client(
        lambda request: Response(status) if request.url.endswith("/v2") else server(request)
    )
    for _ in range(2):
        assert client.infer(X).tensors["y"].value.tolist() == TRIPLED


@both_ways
def test_a_server_whose_every_answer_is_damaged_is_left_alone_though_it_tells_of_itself(ask):
    client, transport, _ = a_client(first([HTML] * 99, a_server()), circuit=CircuitLimits(failures=5))
    for _ in range(30):
        with pytest.raises((CloudAnswerError, CircuitOpenError)):
            ask(client)
    assert len(posts(transport)) == 5
    assert client.left_alone


@both_ways
def test_a_probe_is_an_inference_and_not_a_question_about_the_server(ask):
    client, transport, clock = a_client(first([HTML] * 99, a_server()), **TOUCHY)
    rests = []
    for _ in range(4):
        with pytest.raises(CloudAnswerError):
            ask(client)
        began = clock.monotonic()
        while client.left_alone:
            clock.advance(1)
        rests.append(clock.monotonic() - began)
    assert rests == [5, 10, 20, 40]
    assert len(posts(transport)) == 4


@both_ways
@pytest.mark.parametrize("half_open", [False, True])
def test_a_failure_that_opens_the_circuit_is_told_at_once(ask, half_open):
    retry = RetryPolicy(attempts=3, reserve=5)
    client, transport, clock = a_client(
        first([BUSY] * 99, a_server()), circuit=CircuitLimits(failures=1), retry=retry
    )
    if half_open:
        with pytest.raises(CloudError):
            ask(client)
        clock.advance(60)
        transport.requests.clear()
        clock.pauses.clear()
    with pytest.raises(CloudFailedError, match="status 503"):
        ask(client)
    assert (clock.pauses, len(posts(transport))) == ([], 1)


@both_ways
@pytest.mark.parametrize("known", [False, True])
def test_a_deadline_that_was_over_before_anything_was_sent_says_nothing_of_the_server(ask, known):
    client, transport, _ = a_client(a_server())
    if known:
        ask(client)
    sent = len(transport.requests)
    for _ in range(10):
        with pytest.raises(NetworkTimeoutError):
            ask(client, deadline_s=0)
    assert len(transport.requests) == sent == client.health.requests
    assert client.health.failures == 0
    assert ask(client).tensors["y"].value.tolist() == TRIPLED


@both_ways
def test_while_one_call_probes_others_are_turned_away(ask):
    server, met = a_server(), []
    client, transport, clock = a_client(first([BUSY], server), **TOUCHY)
    with pytest.raises(CloudFailedError):
        ask(client)
    clock.advance(5)

    def answer(request):
        with pytest.raises(CircuitOpenError, match=r"left alone for .* more"):
            client.infer(X)
        met.append(client.health.circuit)
        return server(request)

    transport.answer = answer
    assert ask(client).tensors["y"].value.tolist() == TRIPLED
    assert met == ["half_open"]
    assert (client.health.circuit, client.left_alone) == ("closed", False)


def half_open():
    """A client that may send one probe, its server well again."""
    client, transport, clock = a_client(first([BUSY], a_server()), **TOUCHY)
    with pytest.raises(CloudFailedError):
        client.infer(X)
    clock.advance(5)
    return client, transport, clock


@pytest.mark.parametrize("how", ["too late", "cancelled"])
def test_a_call_that_is_cancelled_gives_its_probe_back_and_ends_its_connection(monkeypatch, how):
    client, transport, _ = half_open()
    begun: list[Future] = []

    def begin(*_):
        begun.append(Future())
        if how == "cancelled":
            asyncio.get_running_loop().call_soon(task.cancel)
        return begun[-1]

    async def give_up():
        nonlocal task
        task = asyncio.ensure_future(client.ainfer(X))
        await asyncio.wait_for(task, 0.01 if how == "too late" else 60)

    task = None
    with monkeypatch.context() as patch:
        patch.setattr(transport, "begin", begin)
        with pytest.raises(TimeoutError if how == "too late" else asyncio.CancelledError):
            asyncio.run(give_up())
    assert [each.cancelled() for each in begun] == [True]
    assert not client.left_alone
    assert client.infer(X).tensors["y"].value.tolist() == TRIPLED


@both_ways
def test_a_server_that_never_answers_is_given_up_in_time_whatever_the_transport_does(ask, monkeypatch):
    client, transport, _ = a_client(a_server(), retry=RetryPolicy(attempts=1))
    ask(client)
    begun: list[Future] = []
    monkeypatch.setattr(transport, "begin", lambda *_: begun.append(Future()) or begun[-1])
    with pytest.raises(NetworkTimeoutError, match=r"expected an answer within 0\.01 s"):
        ask(client, deadline_s=0.01)
    assert [each.cancelled() for each in begun] == [True]
    assert client.health.failures == 1


def test_a_key_press_gives_the_probe_back():
    client, transport, _ = half_open()
    answer = transport.answer

    def pressed(_):
        raise KeyboardInterrupt

    transport.answer = pressed
    with pytest.raises(KeyboardInterrupt):
        client.infer(X)
    transport.answer = answer
    assert client.infer(X).tensors["y"].value.tolist() == TRIPLED


@both_ways
def test_a_request_that_the_transport_gave_up_is_a_network_error_and_no_cancellation(ask, monkeypatch):
    client, transport, _ = a_client(a_server(), retry=RetryPolicy(attempts=1))
    ask(client)

    def begin(*_):
        future: Future = Future()
        future.cancel()
        return future

    monkeypatch.setattr(transport, "begin", begin)
    with pytest.raises(NetworkError):
        ask(client)
