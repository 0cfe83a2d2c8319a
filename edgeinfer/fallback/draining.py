"""Asks the cloud for the cases that wait, one after another, and hands their answers over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeinfer.cloud import Call
from edgeinfer.errors import (
    CircuitOpenError,
    CloudAnswerError,
    CloudFailedError,
    CloudRefusedError,
    CloudRequestError,
    InputError,
    NetworkError,
    PolicyError,
    StoreError,
)
from edgeinfer.fallback.answer_cache import Kept
from edgeinfer.fallback.deciding import Signals, forbidden, hindered
from edgeinfer.fallback.deferred import CLAIM_S, Waiting
from edgeinfer.fallback.policy import Policy
from edgeinfer.frozen import frozen
from edgeinfer.inference.prediction import Attempt, Prediction, Timings
from edgeinfer.net import Do, Steps

if TYPE_CHECKING:
    from edgeinfer.fallback.services import Services

# These pass: the case waits on.
_PASSING = (NetworkError, CloudFailedError, CloudRefusedError, CircuitOpenError, PolicyError, StoreError)
# These do not: the same case would fail again.
_LASTING = (InputError, CloudRequestError, CloudAnswerError)


@frozen
class Deferred:
    """The answer for a case that waited.

    Attributes:
        id: Its number, as `Prediction.deferred` said.
        queued_at: Since when it waited, in seconds since 1970 by this device's clock.
        prediction: The cloud's answer; boxes of a detector are in pixels of the model's input.
    """

    id: str
    queued_at: float
    prediction: Prediction


def draining(
    services: Services, policy: Policy, until: float, hand_over: Callable[[Deferred], None]
) -> Steps[int]:
    """Yield the steps that work through the queue; return how many answers were handed over.

    It ends where the queue is empty, the time is up, the cloud cannot be asked, or fails in a way that passes.

    Args:
        services: What a predictor's calls share.
        policy: What holds.
        until: Seconds of the clock's `monotonic`.
        hand_over: Gets each answer; the case leaves the queue behind it.
    """
    queue, done = services.queue(policy), 0
    while queue is not None and services.clock.monotonic() < until:
        left = (until - services.clock.monotonic()) * 1e3
        signals: Signals = yield Do(
            lambda: services.completed(Signals(left_ms=left), policy, "deferred_inference")  # noqa: B023 - done at once
        )
        if forbidden(signals, policy) or hindered(signals, policy, "mode"):
            break
        case: Waiting | None = yield Do(queue.claim)
        if case is None:
            break
        try:
            answer = yield from _asked(services, policy, case, until)
        except _LASTING:
            queue.drop(case, "deferred.refused")
            continue
        except _PASSING:
            queue.release(case)
            break
        except BaseException:
            queue.release(case)
            raise
        hand_over(Deferred(case.id, case.at, answer))
        queue.drop(case, "deferred.answered")
        done += 1
    return done


def _asked(services: Services, policy: Policy, case: Waiting, until: float) -> Steps[Prediction]:
    client, side = services.client, services.side
    assert client is not None, "cases wait where there is an endpoint"
    assert side is not None, "likewise"
    begun = services.clock.monotonic()
    call = Call(min(until, begun + CLAIM_S / 2), services.journal(policy, "deferred_inference"), "deferred")
    answered = yield from client.steps(case.tensors, side.wanted, call, side.outputs)
    outputs = side.outputs(answered.tensors)
    ms = (services.clock.monotonic() - begun) * 1e3
    top, detections = services.interpreted(Kept(outputs, "cloud", client.model, answered.server), ({}, None))
    return Prediction(
        label=top[0].label if top else None,
        confidence=top[0].confidence if top else None,
        top=top,
        detections=detections,
        outputs=outputs,
        source="cloud",
        reason="the case waited for the cloud",
        variant=client.model,
        engine=answered.server,
        bundle=services.model.digest,
        latency_ms=ms,
        timings=Timings(0.0, ms, 0.0),
        attempts=(Attempt("cloud", "answered", ms, call.requests, call.sent_bytes),),
        deferred=case.id,
    )
