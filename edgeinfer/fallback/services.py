"""What all calls of one predictor share: the model, the way to the cloud, the home, and the signals read of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeinfer.errors import StoreError
from edgeinfer.frozen import frozen
from edgeinfer.inference.answer import Answer
from edgeinfer.inference.prediction import Prediction, Timings

if TYPE_CHECKING:
    from edgeinfer.cloud import V2Client
    from edgeinfer.fallback.answer_cache import AnswerCache
    from edgeinfer.fallback.answers import RawAnswer
    from edgeinfer.fallback.deciding import Route, Signals
    from edgeinfer.fallback.deferred import DeferredQueue
    from edgeinfer.fallback.journal import EgressJournal
    from edgeinfer.fallback.persistence import Persistence
    from edgeinfer.fallback.policy import Policy
    from edgeinfer.fallback.sides import CloudSide
    from edgeinfer.host import Clock, Surroundings
    from edgeinfer.inference import Model
    from edgeinfer.preprocess import Placement
    from edgeinfer.privacy import Purpose

# Network, power and heat change slowly, and reading them takes a tenth of a millisecond.
_AGAIN_S = 5.0


@frozen
class Parts:
    """What a predictor is made of.

    Attributes:
        model: Answers here.
        clock: The time.
        surroundings: Tells of network and power; `surroundings_now` otherwise.
        client: Asks the server, if there is one.
        side: How the bundle's questions are put to it.
        persistence: What is kept in a home, if there is one.
        on_decision: The app's hook, told of every decision.
        on_cloud: Told when the cloud has answered.
    """

    model: Model
    clock: Clock
    surroundings: Callable[[], Surroundings] | None = None
    client: V2Client | None = None
    side: CloudSide | None = None
    persistence: Persistence | None = None
    on_decision: Callable[[Signals, Route], object] | None = None
    on_cloud: Callable[[], None] | None = None


class Services:
    """The parts at work; threads and event loops share them.

    Attributes:
        model: Answers here.
        clock: The time.
        client: Asks the server, if there is one.
        side: How the bundle's questions are put to it.
        persistence: What is kept in a home, if there is one.
        tells: Whether the app wants to be told of every decision.
    """

    def __init__(self, parts: Parts) -> None:
        self.model, self.clock = parts.model, parts.clock
        self.client, self.side, self.persistence = parts.client, parts.side, parts.persistence
        self._parts, self._own = parts, Answer(parts.model.manifest)
        self.tells = parts.on_decision is not None
        self._surroundings: Surroundings | None = None
        self._throttled, self._read_at = False, -_AGAIN_S

    def with_side(self, side: CloudSide | None) -> Services:
        """Return the same parts with another way to put questions to the server."""
        return Services(replace(self._parts, side=side))

    def expected_ms(self, *, limited: bool) -> tuple[float, float]:
        """Return what a run takes and how long one would stand in line; 0 where neither can matter.

        Args:
            limited: Whether the caller set a deadline.
        """
        return self.model.expected_ms() if limited or self.model.calls_in_line else (0.0, 0.0)

    def throttled(self) -> bool:
        """Whether the processor is slowed down by heat."""
        self._look_around()
        return self._throttled

    def completed(
        self, signals: Signals, policy: Policy, purposes: tuple[Purpose, ...] = ("cloud_inference",)
    ) -> Signals:
        """Return the signals with the second half: reads files, and the home."""
        around = self._look_around()
        consent, waiting, escalations = False, False, 0
        if self.persistence is not None:
            kept, version = self.persistence, policy.consent_version
            try:
                consent = all(kept.allows(purpose, version) for purpose in purposes)
                waiting = kept.queue(policy) is not None and kept.allows("deferred_inference", version)
                escalations = kept.escalations()
            except StoreError:  # what cannot be read allows nothing
                consent = waiting = False
        circuit = ""
        if self.client is not None and self.client.left_alone:
            told = self.client.health.reason or "a probe is under way"
            circuit = f"the cloud is left alone ({told.split('; ', 1)[0]})"
        return replace(
            signals,
            consent=consent,
            network="unmetered" if self.client is not None and self.client.endpoint.near else around.network,
            battery=around.battery,
            charging=around.charging,
            circuit=circuit,
            escalations=escalations,
            may_wait=waiting,
        )

    def cache(self, policy: Policy) -> AnswerCache | None:
        """Return the answer cache, if the policy has one and there is a home for it."""
        if self.persistence is None:
            return None
        cloud = "" if self.client is None or self.side is None else f"{self.client.url} {self.side.digest}"
        return self.persistence.cache(policy, cloud)

    def queue(self, policy: Policy) -> DeferredQueue | None:
        """Return the queue, if the policy has one and there are a home and a key for it."""
        return None if self.persistence is None else self.persistence.queue(policy)

    def journal(self, policy: Policy, *purposes: Purpose) -> EgressJournal:
        """Return what a call's requests are told to."""
        assert self.persistence is not None, "a policy that sends needs a home"
        assert self.side is not None, "and an endpoint"
        return self.persistence.journal(policy, self.side, *purposes)

    def interpreted(self, raw: RawAnswer, placement: Placement | None = None) -> Prediction:
        """Return what outputs mean, the server's by its own temperature; why, and how long it took, is not told yet.

        Args:
            raw: The outputs.
            placement: Of a picture in the model's input, where boxes are to be in its pixels.

        Raises:
            EngineRunError: They mean nothing.
        """
        means = self.side.answer if raw.origin == "cloud" and self.side is not None else self._own
        detections = means.detections(raw.outputs, placement) if means.detects else None
        top = () if means.detects else means.top(raw.outputs[means.name][0])
        return Prediction(
            label=top[0].label if top else None,
            confidence=top[0].confidence if top else None,
            top=top,
            detections=detections,
            outputs=raw.outputs,
            source=raw.origin,
            reason="",
            variant=raw.variant,
            engine=raw.engine,
            bundle=self.model.digest,
            latency_ms=0.0,
            timings=Timings(0.0, 0.0, 0.0),
        )

    def told(self, signals: Signals, route: Route) -> None:
        """Tell the app of a decision."""
        if self._parts.on_decision is not None:
            self._parts.on_decision(signals, route)

    def cloud_answered(self) -> None:
        """Note that the cloud can be reached."""
        if self._parts.on_cloud is not None:
            self._parts.on_cloud()

    def _look_around(self) -> Surroundings:
        from edgeinfer.host import Surroundings, surroundings_now, thermal

        now = self.clock.monotonic()
        if self._surroundings is None or now - self._read_at >= _AGAIN_S:
            self._read_at = now
            try:
                self._surroundings = (self._parts.surroundings or surroundings_now)()
            except Exception as error:  # the app's own code may raise anything
                warnings.warn(f"surroundings raised {error!r}", RuntimeWarning, stacklevel=2)
                self._surroundings = Surroundings("none")
            self._throttled = bool(thermal().throttled)
        return self._surroundings
