"""Asks the cloud for the cases that wait, one after another, and hands their answers over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeinfer.cloud import Call
from edgeinfer.errors import (
    CloudElsewhereError,
    CloudError,
    CloudRequestError,
    EngineRunError,
    InputError,
    NetworkError,
    PolicyError,
    StoreError,
)
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.fallback.deciding import Signals, forbidden, hindered
from edgeinfer.fallback.deferred import CLAIM_S, DeferredQueue, Waiting
from edgeinfer.fallback.policy import Policy
from edgeinfer.frozen import changed, frozen
from edgeinfer.inference.prediction import Attempt, Prediction, Timings
from edgeinfer.net import Do, Steps
from edgeinfer.privacy import Purpose

if TYPE_CHECKING:
    from edgeinfer.fallback.services import Services

_PURPOSES: tuple[Purpose, ...] = ("deferred_inference", "cloud_inference")
# These may pass: the case waits on, until it is too old.
_PASSING = (NetworkError, CloudError, EngineRunError, PolicyError, StoreError)


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


@frozen
class Drain:
    """How a queue is worked through.

    Attributes:
        now: Returns what holds at this moment, or None where nothing may be sent any more: asked before each case.
        until: Seconds of the clock's `monotonic` at which it ends.
        hand_over: Gets each answer; False where it could not take it, and the case waits on.
    """

    now: Callable[[], tuple[Policy, Services] | None]
    until: float
    hand_over: Callable[[Deferred], bool]


def draining(drain: Drain) -> Steps[int]:
    """Yield the steps that work through the queue; return how many answers were handed over.

    It ends where the queue is empty, the time is up, the cloud cannot be asked, or fails in a way that may pass.
    """
    done = 0
    while (now := drain.now()) is not None:
        policy, services = now
        queue, left = services.queue(policy), drain.until - services.clock.monotonic()
        if queue is None or left <= 0:
            break
        try:
            handed = yield from _one(drain, policy, services, queue)
        except StoreError:  # what cannot be read waits on
            break
        if handed is None:
            break
        done += handed
    return done


def _one(drain: Drain, policy: Policy, services: Services, queue: DeferredQueue) -> Steps[int | None]:
    """Work on one case; return how many answers were handed over, or None where it is to end."""
    left_ms = (drain.until - services.clock.monotonic()) * 1e3
    signals: Signals = yield Do(lambda: services.completed(Signals(left_ms=left_ms), policy, _PURPOSES))
    yield Do(queue.expire)
    if forbidden(signals, policy) or hindered(signals, policy, "mode"):
        return None
    case: Waiting | None = yield Do(queue.claim)
    if case is None:
        return None
    answer, why = yield from _outcome(services, policy, (queue, case), drain.until)
    if answer is not None and drain.hand_over(Deferred(case.id, case.at, answer)):
        why = "answered"
    if why is None:
        yield Do(lambda: queue.release(case))
        return None
    yield Do(lambda: queue.drop(case, f"deferred.{why}"))
    return int(why == "answered")


def _outcome(
    services: Services, policy: Policy, what: tuple[DeferredQueue, Waiting], until: float
) -> Steps[tuple[Prediction | None, str | None]]:
    """Return the answer for a case, or else why it can never have one; neither where it waits on."""
    queue, case = what
    assert services.side is not None, "cases wait where there is an endpoint"
    if case.about.get("side") != services.side.digest:
        # What may leave, or how it is asked, is another by now, and a case cannot be made anew.
        return None, "outdated"
    try:
        return (yield from _asked(services, policy, what, until)), None
    except (InputError, CloudRequestError) as error:
        return None, None if isinstance(error, CloudElsewhereError) else "refused"
    except _PASSING:
        return None, None
    except BaseException:
        queue.release(case)
        raise


def _asked(
    services: Services, policy: Policy, what: tuple[DeferredQueue, Waiting], until: float
) -> Steps[Prediction]:
    (queue, case), client, side = what, services.client, services.side
    assert client is not None, "cases wait where there is an endpoint"
    assert side is not None, "likewise"
    if not (yield Do(lambda: queue.holds(case))):
        raise PolicyError("the case was erased meanwhile")
    begun = services.clock.monotonic()
    call = Call(min(until, begun + CLAIM_S / 2), services.journal(policy, *_PURPOSES), "deferred")
    answered = yield from client.steps(case.tensors, side.wanted, call, side.outputs)
    ms = (services.clock.monotonic() - begun) * 1e3
    raw = RawAnswer(side.outputs(answered.tensors), "cloud", client.model, answered.server)
    return changed(
        services.interpreted(raw),
        reason="the case waited for the cloud",
        latency_ms=ms,
        timings=Timings(0.0, ms, 0.0),
        attempts=(Attempt("cloud", "answered", ms, call.requests, call.sent_bytes),),
        deferred=case.id,
    )
