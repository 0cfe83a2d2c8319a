"""One predictor: answers from the device, the cloud, earlier answers or a declared default, under one deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import EdgeInferError, InputError, PolicyError, StoreError
from edgeinfer.fallback.conversation import Conversation, Decided, RunHere
from edgeinfer.fallback.policy import MODES, Mode, Policy, RemotePolicy, tightened
from edgeinfer.fallback.services import Parts, Services
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock, SystemClock
from edgeinfer.host.hooks import tell
from edgeinfer.net import Performer, aperformed, performed

if TYPE_CHECKING:
    from edgeinfer.bundle import Cloud, Manifest
    from edgeinfer.cloud import Abilities, CloudHealth, Endpoint, V2Client
    from edgeinfer.fallback.deciding import Route, Signals
    from edgeinfer.fallback.draining import Deferred
    from edgeinfer.fallback.persistence import Persistence
    from edgeinfer.fallback.sides import CloudSide
    from edgeinfer.host import Surroundings
    from edgeinfer.inference import Health, Model, Prediction
    from edgeinfer.inference.intake import Source
    from edgeinfer.net import Transport
    from edgeinfer.store import Home

_DRAIN_S = 30.0


@frozen
class PredictorHealth:
    """How a predictor is doing.

    Attributes:
        device: The model here.
        cloud: The server, if there is one.
        escalated: Calls that were handed on in the last hour; None without a home.
        expected_escalation: Share of answers that the bundle expects to be handed on, 0..1, where it says so.
        waiting: Cases that wait for the cloud; None where there is no queue.
    """

    device: Health
    cloud: CloudHealth | None
    escalated: int | None
    expected_escalation: float | None
    waiting: int | None


class Predictor:
    """Answers for items, wherever the policy allows; safe to share between threads and event loops.

    Attributes:
        model: Answers here.

    Args:
        model: Loaded from the bundle.
        cloud: The server. Needed for all modes but `only_on_device`.
        policy: What is allowed; without one nothing leaves the device.
        home: Where consent, the egress record, cache and queue are kept. Needed for all modes but `only_on_device`.
        mapping: How the bundle's questions are put to the server, in place of the bundle's `cloud`.
        key: 32 random bytes of the app's, which seal the cases that wait; without it none waits.
        on_prediction: Gets every answer. What a hook raises becomes a warning.
        on_decision: Gets every decision, with the signals that it rests on.
        on_deferred: Gets the answers of cases that waited, on a thread of its own or that of `drain`. A case whose
            answer was being handed over when the process ended is asked for again.
        surroundings: Tells of network and power, where the app knows better than Linux; `surroundings_now` otherwise.
        transport: What carries requests; httpx2 otherwise.
        clock: The time.

    Raises:
        PolicyError: The policy needs what is not there, or the server's classes are others than the bundle's.
    """

    def __init__(  # noqa: PLR0913 - each is a choice that an app may want to make alone
        self,
        model: Model,
        cloud: Endpoint | None = None,
        *,
        policy: Policy | None = None,
        home: Home | None = None,
        mapping: Cloud | None = None,
        key: bytes | None = None,
        on_prediction: Callable[[Prediction], object] | None = None,
        on_decision: Callable[[Decided], object] | None = None,
        on_deferred: Callable[[Deferred], object] | None = None,
        surroundings: Callable[[], Surroundings] | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.model, self._on_prediction, self._on_deferred = model, on_prediction, on_deferred
        self._own_policy = resolved(policy or Policy(), model.manifest)
        check_parts(self._own_policy, cloud, home)
        clock = clock or (home.clock if home is not None else SystemClock())
        persistence = client = side = None
        if home is not None:
            persistence = _persistence(home, model.digest, key)
            persistence.expire(self._own_policy)
        elif key is not None:
            raise PolicyError(
                "a key seals the cases that wait in a home", found="no home", expected="home=Home(folder)"
            )
        if cloud is not None:
            side = _side(model.manifest, mapping, self._own_policy)
            client = _client(cloud, side, transport, clock, persistence)
        self._clock = clock
        self._performer = Performer(clock, None) if client is None else client.performer
        self._services = Services(
            Parts(
                model=model,
                clock=clock,
                surroundings=surroundings,
                client=client,
                side=side,
                persistence=persistence,
                on_decision=None if on_decision is None else self._deciding(on_decision),
                on_cloud=self._drain_soon,
            )
        )
        # Swapped in one assignment, so that a call sees one policy and what belongs to it.
        self._now = (self._own_policy, self._services)
        self._draining, self._drain_at = threading.Lock(), clock.monotonic() + _DRAIN_S
        self._process, self._closed = os.getpid(), False

    @property
    def policy(self) -> Policy:
        """What holds: the app's policy, with the bundle's threshold, tightened by what came from afar."""
        return self._now[0]

    @property
    def health(self) -> PredictorHealth:
        """How it is doing now.

        Raises:
            StoreError: The home cannot be read.
        """
        policy, services = self._now
        kept, cascade = services.persistence, self.model.manifest.cascade
        points = cascade.points if cascade is not None else ()
        expected = next(
            (each.escalation.value for each in points if each.threshold == policy.threshold), None
        )
        queue = services.queue(policy)
        return PredictorHealth(
            device=self.model.health,
            cloud=None if services.client is None else services.client.health,
            escalated=None if kept is None else kept.escalations(),
            expected_escalation=expected,
            waiting=None if queue is None else len(queue),
        )

    def tighten(self, remote: RemotePolicy | None) -> None:
        """Let what came from afar hold from the next call on; None lets the app's own policy hold alone.

        It only ever takes away: the app's own policy stays the most that is allowed.

        Raises:
            PolicyError: What it wants taken from pictures cannot be taken from this model's inputs. The rest of it
                holds, and nothing is sent any more.
        """
        policy = self._own_policy if remote is None else tightened(self._own_policy, remote)
        side = self._services.side
        if side is not None:
            try:
                side = side.reduced_by(policy.reduce)
            except PolicyError:
                self._now = (replace(policy, mode="only_on_device"), self._services)
                raise
        self._now = (policy, self._services.with_side(side))

    def check_cloud(self, *, deadline_s: float = 10.0) -> Abilities:
        """Ask the server what it is and has, and hold that against the bundle; nothing of the user's is sent.

        Raises:
            PolicyError: There is no server, the policy is offline, or the server has other classes.
            NetworkError: There was no whole answer.
            CloudError: There was another than what was asked for.
        """
        policy, services = self._now
        if (
            services.client is None
            or services.side is None
            or policy.offline
            or policy.mode == "only_on_device"
        ):
            raise PolicyError(
                "the policy asks no server", found=f"mode {policy.mode}, offline {policy.offline}"
            )
        journal = services.journal(policy, "cloud_inference")
        told = services.client.metadata(deadline_s=deadline_s, journal=journal)
        services.side.check_model(told.model)
        return told

    def predict(
        self, source: Source, *, deadline_ms: float | None = None, mode: Mode | None = None
    ) -> Prediction:
        """Answer for one item.

        Args:
            source: As for `Model.predict`.
            deadline_ms: Milliseconds in which there must be an answer, whatever is asked for it.
            mode: For this item; one that is more private than the policy's, such as `only_on_device` for a picture
                that must not leave.

        Raises:
            InputError: The item does not fit the model; it is sent nowhere.
            PolicyError: `mode` is less private than the policy's.
            NoAnswerError: Neither device nor cloud could answer, and no default was declared; holds both causes.
        """
        call = self._conversation(source, deadline_ms, mode)
        answer = None
        if deadline_ms is None and call.may_answer_at_once and not self.model.calls_in_line:
            answer = call.at_once()
        return self._said(performed(call.steps(), self._perform) if answer is None else answer)

    async def apredict(
        self, source: Source, *, deadline_ms: float | None = None, mode: Mode | None = None
    ) -> Prediction:
        """Answer for one item without blocking the event loop; as `predict` otherwise."""
        steps = self._conversation(source, deadline_ms, mode).steps()
        return self._said(await aperformed(steps, self._aperform))

    def drain(self, *, deadline_s: float = 30.0) -> int:
        """Ask the cloud for the cases that wait; return how many answers `on_deferred` got.

        Raises:
            PolicyError: There is no `on_deferred`.
        """
        from edgeinfer.fallback.draining import Drain, draining

        if self._on_deferred is None:
            raise PolicyError("answers of cases that waited have nowhere to go", next_step="give on_deferred")
        if self._process != os.getpid():  # forked, perhaps while another thread was at it
            self._process, self._draining = os.getpid(), threading.Lock()
        lock = self._draining
        if not lock.acquire(blocking=False):
            return 0  # another thread is at it
        try:
            until = self._clock.monotonic() + deadline_s
            return performed(draining(Drain(self._may_drain, until, self._hand_over)), self._perform)
        finally:
            lock.release()

    def close(self) -> None:
        """Give back connections, and send nothing any more; the model and the home are the caller's."""
        self._closed = True
        if self._services.client is not None:
            self._services.client.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _conversation(self, source: Source, deadline_ms: float | None, mode: Mode | None) -> Conversation:
        policy, services = self._now
        if mode is not None and mode != policy.mode:
            if mode not in MODES or MODES.index(mode) > MODES.index(policy.mode):
                raise PolicyError(
                    "the mode of a call",
                    found=mode,
                    expected=f"{policy.mode}, which the policy says, or a stricter one",
                )
            policy = replace(policy, mode=mode)
        if deadline_ms is not None and not _is_number(deadline_ms):
            raise InputError("deadline_ms", found=deadline_ms, expected="a number of milliseconds")
        return Conversation(services, policy, source, deadline_ms)

    def _perform(self, step: object) -> Any:
        if isinstance(step, RunHere):
            return self.model.answer(
                step.prepared, preparing_s=step.preparing_s, deadline_ms=step.deadline_ms
            )
        return self._performer.now(step)

    async def _aperform(self, step: object) -> Any:
        if isinstance(step, RunHere):
            return await self.model.aanswer(
                step.prepared, preparing_s=step.preparing_s, deadline_ms=step.deadline_ms
            )
        return await self._performer.later(step)

    def _said(self, prediction: Prediction) -> Prediction:
        tell(self._on_prediction, prediction, "on_prediction")
        if self._on_deferred is not None and self._clock.monotonic() >= self._drain_at:
            self._drain_soon()
        return prediction

    def _deciding(self, hook: Callable[[Decided], object]) -> Callable[[Signals, Route], object]:
        return lambda signals, route: tell(hook, Decided(signals, route), "on_decision")

    def _may_drain(self) -> tuple[Policy, Services] | None:
        policy, services = self._now
        return None if self._closed or policy.offline or services.client is None else (policy, services)

    def _hand_over(self, answer: Deferred) -> bool:
        return tell(self._on_deferred, answer, "on_deferred")

    def _drain_soon(self) -> None:
        """Work through the queue on a thread, where there is one to work through."""
        policy, services = self._now
        queue = services.queue(policy)
        if self._on_deferred is None or policy.offline or queue is None or self._draining.locked():
            return
        self._drain_at = self._clock.monotonic() + _DRAIN_S
        with suppress(StoreError):
            if len(queue):
                threading.Thread(target=self._drain_quietly, name="edgeinfer-drain", daemon=True).start()

    def _drain_quietly(self) -> None:
        with suppress(EdgeInferError):  # the cases wait on
            self.drain()


def resolved(policy: Policy, manifest: Manifest) -> Policy:
    """Return a policy with the threshold that the bundle recommends, where it asks for one and has none.

    Raises:
        PolicyError: It hands on unsure answers, and the bundle's confidence is not calibrated.
    """
    if policy.threshold is not None and manifest.calibration is None:
        raise PolicyError(
            "unsure answers are handed on by calibrated confidence alone",
            found=f"threshold {policy.threshold:g} for a bundle without calibration",
            next_step="convert the model with a validation split, or leave the threshold out",
        )
    if policy.threshold is None and policy.mode != "only_on_device" and manifest.cascade is not None:
        return replace(policy, threshold=manifest.cascade.recommended)
    return policy


def check_parts(policy: Policy, cloud: Endpoint | None, home: Home | None) -> None:
    """Hold a policy against what there is.

    Raises:
        PolicyError: It may send, and has no server, or nowhere to keep consent and record.
    """
    if policy.mode == "only_on_device":
        return
    for name, part in (("cloud=Endpoint(url)", cloud), ("home=Home(folder)", home)):
        if part is None:
            raise PolicyError(
                f"mode {policy.mode} of the policy", found=f"no {name.split('=')[0]}", expected=name
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN


# What only the cloud or a home needs is imported here, when there is one: a predictor for the device alone starts fast.


def _persistence(home: Home, bundle: str, key: bytes | None) -> Persistence:
    from edgeinfer.fallback.persistence import Persistence

    return Persistence(home, bundle, key)


def _side(manifest: Manifest, mapping: Cloud | None, policy: Policy) -> CloudSide:
    from edgeinfer.fallback.sides import CloudSide

    return CloudSide(manifest, mapping, policy.reduce)


def _client(
    endpoint: Endpoint,
    side: CloudSide,
    transport: Transport | None,
    clock: Clock,
    persistence: Persistence | None,
) -> V2Client:
    from edgeinfer.cloud import V2Client

    known = None if persistence is None else persistence.servers
    return V2Client(
        endpoint, side.cloud.model, transport=transport, clock=clock, known=known, check=side.check_model
    )
