"""A server that comes and goes for a minute of simulated time, under steady calls: it is not asked more for it."""

from __future__ import annotations

import random

import pytest
from predictor_rig import UNSURE, Rig

import edgeinfer as ei
from edgeinfer.errors import ConnectionLostError
from edgeinfer.net import Response


@pytest.mark.parametrize("period_s", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("fault", [Response(503), ConnectionLostError("reset"), Response(500)])
def test_a_server_that_flaps_for_a_minute_gets_at_most_a_fifth_more_requests_than_calls(
    tmp_path, period_s, fault
):
    rig = Rig(tmp_path, mode="prefer_in_cloud")
    begun, draw = rig.clock.monotonic(), random.Random(7)
    sources, longest = [], 0.0
    while (now := rig.clock.monotonic()) - begun < 60:
        rig.server.fails = fault if (now - begun) // period_s % 2 else None
        given = rig.own.predict(UNSURE, deadline_ms=1000)
        sources.append(given.source)
        longest = max(longest, rig.clock.monotonic() - now)
        rig.clock.advance(draw.uniform(0.0, 0.2))
    assert set(sources) == {"device", "cloud"}
    assert longest <= 1.0
    assert len(rig.transport.requests) <= 1.2 * len(sources)
    health = rig.own.health.cloud
    assert health.requests == len(rig.transport.requests)


def test_an_outage_of_a_minute_is_asked_about_now_and_then(tmp_path):
    rig = Rig(tmp_path, mode="prefer_in_cloud")
    rig.own.predict(UNSURE)
    rig.server.fails = Response(503)
    sent = len(rig.transport.requests)
    for _ in range(600):
        assert rig.own.predict(UNSURE).source == "device"
        rig.clock.advance(0.1)
    # Five failures open the circuit; probes after 5, 10, 20 and 40 seconds are what is left of 600 calls.
    assert len(rig.transport.requests) - sent <= 5 + 1 + 4
    rig.server.fails = None
    rig.clock.advance(80)
    assert rig.own.predict(UNSURE).source == "cloud"
    assert rig.own.health.cloud.circuit == "closed"


def test_many_threads_share_one_circuit_and_one_budget(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    rig = Rig(tmp_path, mode="prefer_in_cloud")
    rig.own.predict(UNSURE)
    rig.server.fails = Response(503)
    sent = len(rig.transport.requests)
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda _: rig.own.predict(UNSURE), range(200)))
    assert all(each.source == "device" for each in given)
    assert len(rig.transport.requests) - sent <= 16 + 5 + 200 * 0.1 + 1
    assert isinstance(ei.EgressRecord(rig.home).entries()[-1].bytes, int)


def test_a_server_whose_answers_have_other_shapes_is_left_alone_after_five(tmp_path):
    rig = Rig(tmp_path)
    right = rig.server._model
    rig.server._model = lambda inputs: {"y": right(inputs)["y"].T}
    for _ in range(20):
        assert rig.own.predict(UNSURE).source == "device"
    assert rig.inferences == 5


def test_many_threads_share_one_budget_of_escalations(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    rig = Rig(tmp_path, max_escalations_per_hour=1)
    rig.own.check_cloud()
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: rig.own.predict(UNSURE).source, range(16)))
    assert given.count("cloud") == 1
