"""One call of a predictor, from the item to its answer: performs the routes that `decide` names, one after another.

Written as steps, so that `Predictor.predict` and `Predictor.apredict` are the same.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from edgeinfer.errors import (
    CloudError,
    EdgeInferError,
    EngineRunError,
    InputError,
    NetworkError,
    NoAnswerError,
    PolicyError,
    StoreError,
)
from edgeinfer.fallback.answers import Origin, RawAnswer
from edgeinfer.fallback.deciding import Local, Route, Signals, decide, may_answer_at_once, needs_more, stays
from edgeinfer.frozen import changed, frozen
from edgeinfer.inference.prediction import Attempt, Prediction, Timings
from edgeinfer.net import Do, Steps

if TYPE_CHECKING:
    from edgeinfer.fallback.policy import Policy
    from edgeinfer.fallback.services import Services
    from edgeinfer.inference.intake import Prepared, Source

# What keeps the cloud from answering; anything else is a fault of ours.
_CLOUD_FAILURES = (NetworkError, CloudError, EngineRunError, InputError, PolicyError, StoreError)
# Of the time left, what the cloud may use at most where the device is asked behind it.
_SHARE, _MARGIN_MS = 0.5, 20.0
_LONGEST_MS = 1e9


@frozen
class RunHere:
    """A step: let the model here answer.

    Attributes:
        prepared: The item.
        preparing_s: Seconds that preparing it took.
        deadline_ms: Time that it may take, or None.
    """

    prepared: Prepared
    preparing_s: float
    deadline_ms: float | None


@frozen
class Decided:
    """What an app's `on_decision` gets.

    Attributes:
        signals: What was looked at.
        route: What was decided.
    """

    signals: Signals
    route: Route


class Conversation:
    """One call.

    Args:
        services: What all calls of a predictor share.
        policy: What holds for this one.
        source: The item.
        deadline_ms: Time that it may take; None leaves it to the policy for the cloud, and sets none here.
    """

    def __init__(self, services: Services, policy: Policy, source: Source, deadline_ms: float | None) -> None:
        self._services, self._policy, self._source = services, policy, source
        self._begun, self._started = services.clock.monotonic(), time.perf_counter()
        self._limited = deadline_ms is not None
        self._until = (
            self._begun + min(policy.deadline_ms if deadline_ms is None else deadline_ms, _LONGEST_MS) / 1e3
        )
        self._attempts: list[Attempt] = []
        self._prepared: Prepared | None = None
        self._prepared_s = 0.0
        self._local: Prediction | None = None
        self._local_error: EdgeInferError | None = None
        self._cloud_error: EdgeInferError | None = None
        self._lost_cache = False
        self._deferred: str | None = None

    @property
    def may_answer_at_once(self) -> bool:
        """Whether `at_once` may be asked, where the call has no deadline and none stands in line."""
        return may_answer_at_once(self._policy) and not self._services.tells

    def at_once(self) -> Prediction | None:
        """Ask the device without further ado, where `may_answer_at_once`; None where there is more to be done.

        What `steps` would do, without looking at signals that change nothing: a decision costs more than a small run.
        """
        model = self._services.model
        self._prepared = model.prepare(self._source)
        prepared = time.perf_counter()
        self._prepared_s = prepared - self._started
        try:
            answer = model.answer(self._prepared, preparing_s=self._prepared_s)
        except InputError:
            raise
        except EdgeInferError as error:
            self._failed_here(error, prepared)
            return None
        self._local = answer
        attempt = Attempt("device", "answered", (time.perf_counter() - prepared) * 1e3)
        if not stays(self._policy, answer.confidence):
            self._attempts.append(attempt)
            return None
        return changed(answer, reason=f"{self._policy.mode}: {answer.reason}", attempts=(attempt,))

    def steps(self) -> Steps[Prediction]:
        """Yield what is to be done; return the answer.

        Raises:
            InputError: The item does not fit the model.
            NoAnswerError: There is no answer, and no default was declared.
        """
        services, policy = self._services, self._policy
        if self._prepared is None:
            self._prepared = yield Do(partial(services.model.prepare, self._source))
            self._prepared_s = time.perf_counter() - self._started
        prepared: Prepared = self._prepared
        while True:
            signals = self._cheap(policy)
            if needs_more(signals, policy):
                signals = yield Do(partial(self._costly, signals, prepared))
            route = decide(signals, policy)
            services.told(signals, route)
            if route.to == "device":
                yield from self._ask_here(prepared)
            elif route.to == "cloud":
                answer = yield from self._ask_cloud(prepared, route)
                if answer is not None:
                    return answer
            elif route.to == "cache":
                found: Prediction | None = yield Do(partial(self._from_cache, prepared, route))
                if found is not None:
                    return found
            else:
                return (yield from self._ended(route, prepared))

    def _cheap(self, policy: Policy) -> Signals:
        services, local = self._services, None
        if self._local is not None:
            local = Local(self._local.confidence)
        elif self._local_error is not None:
            local = Local(None, _brief(self._local_error))
        run_ms, wait_ms = services.expected_ms(limited=self._limited)
        return Signals(
            local,
            None if self._cloud_error is None else _brief(self._cloud_error),
            self._left_ms(),
            run_ms,
            wait_ms,
            policy.cloud_when_throttled and services.throttled(),
            services.side is not None and services.side.needs_local,
        )

    def _costly(self, signals: Signals, prepared: Prepared) -> Signals:
        complete = self._services.completed(signals, self._policy)
        cache = self._services.cache(self._policy)
        if cache is None or self._lost_cache:
            return complete
        with suppress(StoreError):
            return replace(complete, cached=cache.get(cache.key(prepared[0]), self._origins()) is not None)
        return complete

    def _origins(self) -> tuple[Origin, ...]:
        """Return whose earlier answers would do: the device's own only where it fails now."""
        own: tuple[Origin, ...] = () if self._local_error is None else ("device",)
        return own if self._policy.mode == "only_on_device" else ("cloud", *own)

    def _ask_here(self, prepared: Prepared) -> Steps[None]:
        start = time.perf_counter()
        left = max(self._left_ms(), 0.001) if self._limited or self._cloud_error is not None else None
        try:
            local: Prediction = yield RunHere(prepared, self._prepared_s, left)
        except InputError:
            raise
        except EdgeInferError as error:
            self._failed_here(error, start)
            return
        self._local = local
        self._attempts.append(Attempt("device", "answered", (time.perf_counter() - start) * 1e3))
        yield from self._keep(prepared, RawAnswer(local.outputs, "device", local.variant, local.engine))

    def _failed_here(self, error: EdgeInferError, start: float) -> None:
        self._local_error = error
        self._attempts.append(Attempt("device", _brief(error), (time.perf_counter() - start) * 1e3))

    def _ask_cloud(self, prepared: Prepared, route: Route) -> Steps[Prediction | None]:
        services = self._services
        client, side = services.client, services.side
        assert client is not None, "the policy needs an endpoint"
        assert side is not None, "likewise"
        from edgeinfer.cloud import Call

        call = Call(self._cloud_until(), services.journal(self._policy, "cloud_inference"), route.why)
        start, begun, outcome = time.perf_counter(), services.clock.monotonic(), "answered"
        outputs = None if self._local is None else self._local.outputs
        try:
            tensors = yield Do(partial(side.tensors, self._source, prepared[0], outputs))
            answered = yield from client.steps(tensors, side.wanted, call, side.outputs)
            raw = RawAnswer(side.outputs(answered.tensors), "cloud", client.model, answered.server)
            answer = services.interpreted(raw, prepared[1])
        except _CLOUD_FAILURES as error:
            self._cloud_error, outcome = error, _brief(error)
        ms = (services.clock.monotonic() - begun) * 1e3
        self._attempts.append(Attempt("cloud", outcome, ms, call.requests, call.sent_bytes))
        if self._cloud_error is not None:
            return None
        services.cloud_answered()
        yield from self._keep(prepared, raw)
        return self._said(answer, "cloud", route.reason, start)

    def _from_cache(self, prepared: Prepared, route: Route) -> Prediction | None:
        start, cache = time.perf_counter(), self._services.cache(self._policy)
        assert cache is not None, "an answer was found in it"
        answer = None
        with suppress(StoreError, EngineRunError):
            found = cache.get(cache.key(prepared[0]), self._origins())
            answer = None if found is None else self._services.interpreted(found, prepared[1])
        if answer is None:  # it was erased meanwhile, or means nothing
            self._lost_cache = True
            return None
        self._attempts.append(Attempt("cache", "answered", (time.perf_counter() - start) * 1e3))
        return self._said(answer, "cache", route.reason, start)

    def _keep(self, prepared: Prepared, answer: RawAnswer) -> Steps[None]:
        cache = self._services.cache(self._policy)
        if cache is not None:
            with suppress(StoreError):  # it costs another request, never an answer
                yield Do(lambda: cache.put(cache.key(prepared[0]), answer, self._policy.consent_version))

    def _ended(self, route: Route, prepared: Prepared) -> Steps[Prediction]:
        reason = route.reason
        if route.to == "keep":
            assert self._local is not None, "there is an answer to keep"
            if route.wait:
                reason = yield from self._let_wait(reason, prepared)
            return changed(
                self._local,
                reason=f"{reason}: {self._local.reason}",
                attempts=tuple(self._attempts),
                deferred=self._deferred,
                latency_ms=(time.perf_counter() - self._started) * 1e3,
            )
        if route.to == "default":
            return self._default(reason)
        cloud = self._cloud_error or route.no
        raise NoAnswerError(f"there is no answer: {reason}", device=self._local_error, cloud=cloud) from (
            self._local_error or self._cloud_error
        )

    def _let_wait(self, reason: str, prepared: Prepared) -> Steps[str]:
        """Put the case into the queue; return the reason with what came of it."""
        side, queue = self._services.side, self._services.queue(self._policy)
        assert side is not None, "the policy needs an endpoint"
        assert queue is not None, "the route says that it may wait"
        assert self._local is not None, "it waits for a better answer"
        version = self._policy.consent_version
        tensors = partial(side.tensors, self._source, prepared[0], self._local.outputs)
        try:
            self._deferred = yield Do(lambda: queue.put(tensors(), {"side": side.digest}, version))
        except (StoreError, InputError, PolicyError) as error:
            return f"{reason.removesuffix('; the case waits')}; it cannot wait ({_brief(error)})"
        if self._deferred is None:
            return f"{reason.removesuffix('; the case waits')}; the queue is full"
        return reason

    def _said(
        self, answer: Prediction, source: Literal["cloud", "cache"], reason: str, start: float
    ) -> Prediction:
        now = time.perf_counter()
        return changed(
            answer,
            source=source,
            reason=reason,
            latency_ms=(now - self._started) * 1e3,
            timings=Timings(self._prepared_s * 1e3, (now - start) * 1e3, 0.0),
            attempts=tuple(self._attempts),
        )

    def _default(self, reason: str) -> Prediction:
        return Prediction(
            label=self._policy.default,
            confidence=None,
            top=(),
            detections=None,
            outputs={},
            source="default",
            reason=reason,
            variant="",
            engine="",
            bundle=self._services.model.digest,
            latency_ms=(time.perf_counter() - self._started) * 1e3,
            timings=Timings(self._prepared_s * 1e3, 0.0, 0.0),
            attempts=tuple(self._attempts),
        )

    def _left_ms(self) -> float:
        return (self._until - self._services.clock.monotonic()) * 1e3

    def _cloud_until(self) -> float:
        """Return when the cloud must have answered: early enough for the device, where it is asked behind it."""
        if self._local is not None or self._local_error is not None or self._policy.mode == "only_in_cloud":
            return self._until
        run_ms, wait_ms = self._services.expected_ms(limited=True)
        left = self._left_ms()
        reserve = min(left * _SHARE, 2 * (run_ms + wait_ms) + _MARGIN_MS)
        return self._until - reserve / 1e3


def _brief(error: EdgeInferError) -> str:
    """Return an error's first half: what failed and what was found, without advice."""
    text = str(error)
    return text.split("; ", 1)[0] if error.next_step else text
