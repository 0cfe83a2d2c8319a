"""What all calls of one predictor share: the model, the way to the cloud, the home, and the signals read of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeinfer.cloud import Endpoint, V2Client
from edgeinfer.cloud.endpoint import on_this_machine
from edgeinfer.errors import StoreError
from edgeinfer.fallback.answer_cache import AnswerCache, Kept
from edgeinfer.fallback.deciding import ESCALATIONS, Route, Signals
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.fallback.journal import HOUR_S, Allowed, EgressJournal
from edgeinfer.fallback.policy import Policy
from edgeinfer.fallback.sides import CloudSide
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock, Surroundings, thermal
from edgeinfer.inference.answer import Answer
from edgeinfer.privacy import Consents, EgressRecord, Purpose, Sealer
from edgeinfer.store import Home

if TYPE_CHECKING:
    from edgeinfer.inference import Detection, LabelScore, Model
    from edgeinfer.inference.intake import Prepared

# Network, power and heat change slowly, and reading them takes a tenth of a millisecond.
_AGAIN_S = 5.0


@frozen
class Parts:
    """What a predictor is made of.

    Attributes:
        model: Answers here.
        clock: The time.
        surroundings: Tells of network and power.
        endpoint: The server, if there is one.
        client: Asks it.
        side: How the bundle's questions are put to it.
        home: Where consent, egress, cache and queue are kept, if there is one.
        sealer: The app's key, if there is one.
        on_decision: The app's hook, told of every decision.
        on_cloud: Told when the cloud has answered.
    """

    model: Model
    clock: Clock
    surroundings: Callable[[], Surroundings]
    endpoint: Endpoint | None = None
    client: V2Client | None = None
    side: CloudSide | None = None
    home: Home | None = None
    sealer: Sealer | None = None
    on_decision: Callable[[Signals, Route], object] | None = None
    on_cloud: Callable[[], None] | None = None


class Services:
    """The parts at work; threads and event loops share them.

    Attributes:
        model: Answers here.
        clock: The time.
        client: Asks the server, if there is one.
        side: How the bundle's questions are put to it.
        home: Where consent, egress, cache and queue are kept, if there is one.
        tells: Whether the app wants to be told of every decision.
    """

    def __init__(self, parts: Parts) -> None:
        self.model, self.clock = parts.model, parts.clock
        self.client, self.side, self.home = parts.client, parts.side, parts.home
        self._parts, self._own = parts, Answer(parts.model.manifest)
        self._consents = None if parts.home is None else Consents(parts.home)
        self._egress = None if parts.home is None else EgressRecord(parts.home)
        self.tells = parts.on_decision is not None
        self._surroundings, self._throttled, self._read_at = Surroundings(), False, -_AGAIN_S
        self._near = parts.endpoint is not None and on_this_machine(parts.endpoint.url)

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
        self._look_around()
        around, consent, waiting, escalations = self._surroundings, False, False, 0
        if self._consents is not None and self._egress is not None:
            try:
                version = policy.consent_version
                consent = all(self._consents.allows(purpose, version) for purpose in purposes)
                waiting = self.queue(policy) is not None and self._consents.allows(
                    "deferred_inference", version
                )
                escalations = self._egress.sent_since(ESCALATIONS, self.clock.utc() - HOUR_S)
            except StoreError:  # what cannot be read allows nothing
                consent = waiting = False
        circuit = ""
        if self.client is not None and self.client.left_alone:
            told = self.client.health.reason or "a probe is under way"
            circuit = f"the cloud is left alone ({told.split('; ', 1)[0]})"
        return replace(
            signals,
            consent=consent,
            network="unmetered" if self._near else around.network,
            battery=around.battery,
            charging=around.charging,
            circuit=circuit,
            escalations=escalations,
            may_wait=waiting,
        )

    def cache(self, policy: Policy) -> AnswerCache | None:
        """Return the answer cache, if the policy has one and there is a home for it."""
        home = self._parts.home
        if policy.cache is None or home is None:
            return None
        cloud = "" if self.client is None or self.side is None else f"{self.client.url} {self.side.digest}"
        return AnswerCache(home, policy.cache, self.model.digest, cloud)

    def queue(self, policy: Policy) -> DeferredQueue | None:
        """Return the queue, if the policy has one and there are a home and a key for it."""
        home, sealer = self._parts.home, self._parts.sealer
        if policy.queue is None or home is None or sealer is None:
            return None
        return DeferredQueue(home, policy.queue, self.model.digest, sealer)

    def journal(self, policy: Policy, *purposes: Purpose) -> EgressJournal:
        """Return what a call's requests are told to."""
        assert self._parts.home is not None, "a policy that sends needs a home"
        assert self.side is not None, "and an endpoint"
        most = policy.max_escalations_per_hour if policy.mode == "prefer_on_device" else None
        allowed = Allowed(
            purposes, policy.consent_version, policy.digest, self.model.digest, self.side.reduced, most
        )
        return EgressJournal(self._parts.home, allowed)

    def interpreted(
        self, answer: Kept, prepared: Prepared
    ) -> tuple[tuple[LabelScore, ...], tuple[Detection, ...] | None]:
        """Return what outputs mean: the server's by its own temperature."""
        said = self.side.answer if answer.origin == "cloud" and self.side is not None else self._own
        if said.detects:
            return (), said.detections(answer.outputs, prepared[1])
        return said.top(answer.outputs[said.name][0]), None

    def told(self, signals: Signals, route: Route) -> None:
        """Tell the app of a decision."""
        if self._parts.on_decision is not None:
            self._parts.on_decision(signals, route)

    def cloud_answered(self) -> None:
        """Note that the cloud can be reached."""
        if self._parts.on_cloud is not None:
            self._parts.on_cloud()

    def _look_around(self) -> None:
        now = self.clock.monotonic()
        if now - self._read_at >= _AGAIN_S:
            self._read_at = now
            try:
                self._surroundings = self._parts.surroundings()
            except Exception as error:  # the app's own code may raise anything
                warnings.warn(f"surroundings raised {error!r}", RuntimeWarning, stacklevel=2)
                self._surroundings = Surroundings("none")
            self._throttled = bool(thermal().throttled)


def sent_in_an_hour(home: Home) -> int:
    """Return the calls that were handed on in the last hour."""
    return EgressRecord(home).sent_since(ESCALATIONS, home.clock.utc() - HOUR_S)
