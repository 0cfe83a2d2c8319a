"""How a version proves itself: its first answer, and for a trial so many good ones within its budgets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from edgeinfer.device.versions import Version, Versions
from edgeinfer.errors import StoreError
from edgeinfer.inference import Prediction
from edgeinfer.rollout import Observed, Thresholds, verdict

# A trial has no past that would excuse a failure.
ON_TRIAL = Thresholds(errors=1, error_share=0.0)


class Proving:
    """What a version has shown so far; safe to share between threads.

    Attributes:
        done: Whether nothing is to be shown any more.
        failed: Answers that failed.

    Args:
        version: It.
        versions: Of its family.
        good_answers: How many a trial needs before it is the current.
    """

    def __init__(self, version: Version, versions: Versions, good_answers: int) -> None:
        self._version, self._versions, self._needed = version, versions, good_answers
        self._lock = threading.Lock()
        self._answered = version.load is None
        self.done = version.load is None and not version.trial
        self.failed = 0

    @property
    def thresholds(self) -> Thresholds:
        """What is held against this version."""
        return ON_TRIAL if self._version.trial and not self.done else Thresholds()

    def begins(self) -> None:
        """An answer is being computed: until the first is there, a death of this process counts."""
        if not self._answered:
            self._written(lambda load: load.busy())

    def ends(self) -> None:
        """There was no answer, and the process lives."""
        if not self._answered:
            self._written(lambda load: load.idle())

    def answered(self) -> None:
        """Count a good answer; a trial with enough of them, and within its budgets, becomes the current."""
        if self.done:
            return
        with self._lock, suppress(StoreError):
            if not self._answered:
                self._written(lambda load: load.answered())
                self._answered = True
            self.done = not self._version.trial or self._committed()

    def _committed(self) -> bool:
        slot, model = self._version.slot, self._version.model
        assert slot is not None, "what came with the app is not on trial"
        if self._versions.count_good(slot.digest) < self._needed:
            return False
        seen = Observed(model.health, failed_answers=self.failed, remembered=model.selection.cached)
        if verdict(seen, ON_TRIAL) is not None:
            return False
        self._versions.commit(slot)
        return True

    def _written(self, state: Callable[..., None]) -> None:
        if self._version.load is not None:
            with suppress(StoreError):
                state(self._version.load)


def broken(answer: Prediction) -> bool:
    """Whether an output holds what is no number."""
    return any(
        values.dtype.kind == "f" and not np.isfinite(values).all() for values in answer.outputs.values()
    )
