"""The predictor of a device: the same for the app, whatever version of the model answers behind it.

Invariants:
* a version is swapped in one assignment: a call sees one from its beginning to its end;
* a version that fails its guardrails is reverted at once, without a network, and the call that noticed is answered by
  the last good one;
* that a version served is on the disk before anything is said against it;
* once a version has proved itself, a call costs a few comparisons more than one of `Predictor`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeinfer.device.exposing import Exposing
from edgeinfer.device.proving import Proving, broken
from edgeinfer.device.versions import Version, Versions
from edgeinfer.errors import EdgeInferError, EngineError, NoAnswerError, StoreError
from edgeinfer.fallback import Predictor
from edgeinfer.frozen import frozen
from edgeinfer.host import tell
from edgeinfer.inference import Health, Model, Prediction
from edgeinfer.rollout import Breach, Observed, verdict
from edgeinfer.updates import Slot

if TYPE_CHECKING:
    from edgeinfer.device.beside import Beside
    from edgeinfer.fallback.policy import Mode
    from edgeinfer.inference.intake import Source

# Some budgets are judged after many runs: the health is looked at again, which takes some hundred microseconds.
_LOOK_AGAIN = 300


@frozen
class Making:
    """What a device makes of a model.

    Attributes:
        predictor: Makes what answers by it.
        good_answers: How many a trial needs before it is the current.
        on_health: The app's own, which is told of the model's health.
    """

    predictor: Callable[[Model], Predictor]
    good_answers: int
    on_health: Callable[[Health], object] | None = None


@frozen
class _Serving:
    """A version with what answers by it."""

    version: Version
    predictor: Predictor
    proving: Proving


class DevicePredictor:
    """Answers by the version of a model that this device runs. Made by `Device.model`; safe to share between threads.

    Args:
        versions: The versions of its family.
        making: What is made of each.
        exposing: Notes what served.
        beside: What runs in the shadow of the version that answers.

    Raises:
        BundleError: No version answers here.
    """

    def __init__(
        self, versions: Versions, making: Making, exposing: Exposing, beside: Beside | None = None
    ) -> None:
        self._versions, self._making, self._exposing, self._beside = versions, making, exposing, beside
        self._lock = threading.RLock()
        self._calls, self._alarmed = 0, False
        self._now = self._opened()
        self._follow()

    @property
    def model(self) -> Model:
        """The model that answers now."""
        return self._now.version.model

    @property
    def slot(self) -> Slot | None:
        """Where it lies; None for the bundle that came with the app."""
        return self._now.version.slot

    @property
    def on_trial(self) -> bool:
        """Whether it has to prove itself yet."""
        return self._now.version.trial and not self._now.proving.done

    @property
    def predictor(self) -> Predictor:
        """What answers now, for all else that a `Predictor` can do."""
        return self._now.predictor

    def predict(
        self, source: Source, *, deadline_ms: float | None = None, mode: Mode | None = None
    ) -> Prediction:
        """Answer for one item, as `Predictor.predict` does."""
        serving = self._now
        serving.proving.begins()
        try:
            answer = serving.predictor.predict(source, deadline_ms=deadline_ms, mode=mode)
        except EdgeInferError as error:
            if not self._failed(serving, error):
                raise
            return self._now.predictor.predict(source, deadline_ms=deadline_ms, mode=mode)
        if self._is_wrong(serving, answer):
            return self._now.predictor.predict(source, deadline_ms=deadline_ms, mode=mode)
        if self._beside is not None:
            self._beside.offer(source, answer)
        return answer

    async def apredict(
        self, source: Source, *, deadline_ms: float | None = None, mode: Mode | None = None
    ) -> Prediction:
        """Answer for one item without blocking the event loop, as `Predictor.apredict` does."""
        serving = self._now
        serving.proving.begins()
        try:
            answer = await serving.predictor.apredict(source, deadline_ms=deadline_ms, mode=mode)
        except EdgeInferError as error:
            if not self._failed(serving, error):
                raise
            return await self._now.predictor.apredict(source, deadline_ms=deadline_ms, mode=mode)
        if self._is_wrong(serving, answer):
            return await self._now.predictor.apredict(source, deadline_ms=deadline_ms, mode=mode)
        if self._beside is not None:
            self._beside.offer(source, answer)
        return answer

    def renew(self) -> bool:
        """Let the version answer that is first in line by now, and what is chosen run beside it.

        Returns:
            Whether another version answers.

        Raises:
            BundleError: No version answers here.
        """
        with self._lock:
            before = self._now
            if self._versions.first() != before.version.slot:
                self._now = self._opened()
                _end(before)
            self._follow()
            return self._now.version.slot != before.version.slot

    def close(self) -> None:
        """Give back connections and what is written of the version; the model goes with the last call."""
        if self._beside is not None:
            self._beside.close()
        with self._lock:
            self._now.predictor.close()
            _end(self._now)

    def _follow(self) -> None:
        if self._beside is not None:
            self._beside.follow(self.model)

    def _opened(self) -> _Serving:
        version = self._versions.open(self._seen)
        self._exposing.renewed()
        proving = Proving(version, self._versions, self._making.good_answers)
        serving = _Serving(version, self._making.predictor(version.model), proving)
        # Its connections are given back when the last call that uses them has its answer.
        weakref.finalize(serving, serving.predictor.close).atexit = False
        return serving

    def _is_wrong(self, serving: _Serving, answer: Prediction) -> bool:
        """Judge an answer; return whether another version has to give it."""
        self._calls += 1
        if self._alarmed or not self._calls % _LOOK_AGAIN:
            self._alarmed = False
            breach = self._breach(serving)
            if self._revert(serving.version.slot, breach):
                return breach is not None and breach.kind == "not_finite"
        if serving.proving.done and not self._exposing.due:
            return False
        if answer.source != "device":
            serving.proving.ends()
            return False
        version = serving.version
        self._exposing.served(version.model.digest, bundled=version.slot is None)
        if version.trial and broken(answer):
            return self._revert(version.slot, Breach("not_finite", "an answer is NaN or infinite"))
        serving.proving.answered()
        return False

    def _failed(self, serving: _Serving, error: EdgeInferError) -> bool:
        """Count an answer that failed; return whether another version answers now."""
        serving.proving.ends()
        cause = error.device if isinstance(error, NoAnswerError) else error
        if not isinstance(cause, EngineError):
            return False  # the caller's mistake, or there was no time, or the cloud's failure
        serving.proving.failed += 1
        breach = self._breach(serving)
        if breach is not None:
            breach = replace(breach, message=f"{breach.message}; the last: {cause}")
        return self._revert(serving.version.slot, breach)

    def _breach(self, serving: _Serving) -> Breach | None:
        model, proving = serving.version.model, serving.proving
        seen = Observed(model.health, failed_answers=proving.failed, remembered=model.selection.cached)
        return verdict(seen, proving.thresholds)

    def _seen(self, health: Health) -> None:
        """Take note of a model's health; the call that is under way acts on it when it has its answer."""
        tell(self._making.on_health, health, "on_health")
        self._alarmed = True

    def _revert(self, slot: Slot | None, breach: Breach | None) -> bool:
        """Let the version before answer, where this one is at fault; return whether it does."""
        if breach is None or slot is None:
            return False
        with self._lock:
            with suppress(StoreError):
                self._versions.revert(slot.digest, breach, self._exposing.of(slot.digest))
            if self._now.version.slot == slot:
                before, self._now = self._now, self._opened()
                _end(before)
                self._follow()
        return True


def _end(serving: _Serving) -> None:
    """Hold a version no more; calls that are under way have it in memory."""
    if serving.version.load is not None:
        with suppress(StoreError):
            serving.version.load.end()
