"""Run by test_nothing_leaves.py in a process of its own: takes every path of a predictor, and says what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

asked = json.loads(sys.argv[1])
events: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note what has to do with networks; event loops make a pair of local sockets to wake themselves."""
    if not event.startswith("socket.") or event == "socket.gethostname":
        return
    if event == "socket.__new__" and arguments[1] == socket.AF_UNIX:
        return
    events.append(event)
    if asked.get("offline"):
        raise RuntimeError(f"{event} is blocked")


if asked.get("watched"):
    sys.addaudithook(watch)

import numpy as np  # noqa: E402

import edgeinfer as ei  # noqa: E402
from edgeinfer.errors import EngineRunError, OverloadError  # noqa: E402
from edgeinfer.host import Surroundings  # noqa: E402
from edgeinfer.testing import FakeEngine  # noqa: E402

sources: list[str] = []
item = np.load(asked["item"])
engine = FakeEngine()
model = ei.load(asked["bundle"], engine=engine)
home = ei.Home(asked["home"])
for purpose in ("cloud_inference", "deferred_inference"):
    ei.Consents(home).give(purpose)


def predictor(**options: object) -> ei.Predictor:
    policy = ei.Policy(mode=asked["mode"], offline=bool(asked.get("offline")), deadline_ms=3000.0, **options)
    return ei.Predictor(
        model,
        ei.Endpoint(asked["url"]),
        policy=policy,
        home=home,
        key=bytes(32),
        on_deferred=lambda answer: sources.append(answer.prediction.source),
        surroundings=Surroundings,
    )


def answered(own: ei.Predictor, value: np.ndarray, **options: object) -> None:
    try:
        sources.append(own.predict(value, **options).source)
        sources.append(asyncio.run(own.apredict(value, **options)).source)
    except ei.NoAnswerError:
        sources.append("error")
    except ei.InputError:
        sources.append("refused")


for kept in ({}, {"cache": ei.CacheLimits(), "queue": ei.QueueLimits()}):
    with predictor(**kept) as own:
        answered(own, item)  # unsure
        answered(own, item + 1)  # sure
        answered(own, item, deadline_ms=1000)
        answered(own, item, deadline_ms=0.0001)
        answered(own, item[:, :, :2])  # of another shape
        for failure in (EngineRunError("out of memory"), OverloadError("too many calls")):
            engine.fails_on_run = failure
            answered(own, item)
            engine.fails_on_run = None
        engine.answer, right = (lambda value: np.full((len(value), 2), np.nan, np.float32)), engine.answer
        answered(own, item)
        engine.answer = right
        own.tighten(ei.RemotePolicy(threshold=1.0))
        answered(own, item)
        try:
            own.check_cloud(deadline_s=2)
        except ei.EdgeInferError as error:
            sources.append(type(error).__name__)
        own.drain(deadline_s=2)
        assert own.health.device.runs or asked["mode"] == "only_in_cloud"
        if asked.get("killed"):
            engine.answer = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            answered(own, item)
with predictor(default="unknown") as own:
    engine.fails_on_run = EngineRunError("out of memory")
    answered(own, item)
sys.stdout.write(json.dumps({"sources": sources, "events": events}) + "\n")
