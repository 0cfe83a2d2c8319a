"""What runs in the shadow of the version that answers, as the flags have it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from edgeinfer.device.versions import Versions
from edgeinfer.errors import EdgeInferError
from edgeinfer.flags import Flags
from edgeinfer.frozen import frozen
from edgeinfer.host import Surroundings
from edgeinfer.inference import Model, Prediction
from edgeinfer.rollout import Shadow, ShadowCandidate, ShadowLimits, ShadowReport, choose_shadow, shadow_flag
from edgeinfer.store import Home
from edgeinfer.updates import Slot


@frozen
class _Running:
    """A shadow, what it compares with what, and how often."""

    key: tuple[str, str, float]
    shadow: Shadow
    current: Model


@frozen
class ShadowMeans:
    """What a shadow needs of its device.

    Attributes:
        load: Loads a candidate.
        limits: What it may cost.
        home: Where its report is kept; None keeps none.
        surroundings: Tells of the battery.
    """

    load: Callable[[Slot], Model]
    limits: ShadowLimits
    home: Home | None
    surroundings: Callable[[], Surroundings]


class Beside:
    """The shadow of one family; safe to share between threads.

    Args:
        versions: The versions of the family.
        flags: The device's.
        means: What it needs of the device.
    """

    def __init__(self, versions: Versions, flags: Flags, means: ShadowMeans) -> None:
        self._versions, self._flags, self._means = versions, flags, means
        self._flag = shadow_flag(versions.family)
        self._lock = threading.Lock()
        self._running: _Running | None = None
        flags.on_change(self._changed)

    def follow(self, current: Model) -> None:
        """Run beside a model what the flags say and what lies here, or nothing.

        Args:
            current: What answers.
        """
        wanted = self._wanted(current)
        key = None if wanted is None else (current.digest, wanted[0].digest, wanted[1])
        with self._lock:
            before = self._running
            if (None if before is None else before.key) == key:
                return
            self._running = None
            if before is not None:
                before.shadow.close()
            if wanted is None or key is None:
                return
            candidate = ShadowCandidate(key[1], partial(self._means.load, wanted[0]))
            with suppress(EdgeInferError):
                shadow = Shadow(
                    current,
                    candidate,
                    key[2],
                    limits=self._means.limits,
                    home=self._means.home,
                    surroundings=self._means.surroundings,
                )
                self._running = _Running(key, shadow, current)

    def offer(self, source: Any, answer: Prediction) -> None:
        """Hand over an item that the device answered; costs its caller nothing that they notice."""
        running = self._running
        if running is not None and answer.source == "device" and answer.bundle == running.key[0]:
            running.shadow.offer_source(source, answer)

    def report(self) -> ShadowReport | None:
        """Return what the shadow that runs now has found; None where none runs."""
        running = self._running
        return None if running is None else running.shadow.report()

    def close(self) -> None:
        """Run nothing any more."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.shadow.close()

    def _wanted(self, current: Model) -> tuple[Slot, float] | None:
        choice = choose_shadow(self._flags.details(self._flag), (), current.digest)
        slot = self._versions.slots.shadow
        if slot is None or slot.digest != choice.digest or self._versions.is_out(slot.digest):
            return None
        return slot, choice.sample

    def _changed(self, keys: frozenset[str]) -> None:
        running = self._running
        if self._flag.key in keys and running is not None:
            self.follow(running.current)
