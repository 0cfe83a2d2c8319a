"""The work of a shadow, on a thread of its own: it takes an item, asks the candidate, compares, and rests."""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet, ref

from edgeinfer.errors import StoreError
from edgeinfer.frozen import changed
from edgeinfer.host import Clock, Surroundings, SystemClock, resident_bytes
from edgeinfer.rollout.comparing import compared
from edgeinfer.rollout.shadow_limits import ShadowLimits, hindrance, rest_s
from edgeinfer.rollout.shadow_report import ShadowReport, keep_report, merged, with_comparison

if TYPE_CHECKING:
    from edgeinfer.inference import Model, Prediction
    from edgeinfer.inference.intake import Prepared
    from edgeinfer.rollout.shadow import ShadowCandidate
    from edgeinfer.store import Home

# Gives an item as the candidate takes it, which may have to prepare it.
Item = Callable[["Model"], "Prepared"]
_FOR_EVER = float("inf")
# A report is written after so many items or seconds; power and memory are looked at every so often.
_BATCH, _BATCH_S, _LOOK_S = 100, 60.0, 10.0
_EXIT_S = 5.0
_LOWEST = 19


class ShadowWork:
    """Works on what was handed over.

    It shares no lock with whoever hands items over: a thread of the lowest priority that held one would make them wait.
    They read `rest`, try `place`, and count in `dropped`. CPython goes to another thread at calls and jumps back alone,
    so that no count is lost; where threads truly run at once, one may be.

    Attributes:
        clock: The time.
        items: What was handed over; None ends the thread. Whoever holds `place` may put one item there.
        place: Held from the moment at which an item is handed over until it was compared.
        rest: Until when nothing is taken, by the clock, and why.
        dropped: Items that were not taken and are not in the report yet, by reason.
        thread: What works; its owner starts it.
    """

    def __init__(
        self,
        current: Model,
        candidate: ShadowCandidate,
        limits: ShadowLimits,
        home: Home | None,
        surroundings: Callable[[], Surroundings],
    ) -> None:
        self.clock: Clock = SystemClock() if home is None else home.clock
        self.items: queue.SimpleQueue[tuple[Item, Prediction] | None] = queue.SimpleQueue()
        self.place = threading.Lock()
        self.rest = (0.0, "")
        reasons = ("busy", "cpu", "battery", "memory", "crowded", "other", "handover", *_OVER)
        self.dropped = dict.fromkeys(reasons, 0)
        self._serves, self._inputs = ref(current), current.manifest.inputs
        self._candidate, self._limits, self._home = candidate, limits, home
        self._surroundings, self._seen = surroundings, (-_FOR_EVER, Surroundings())
        self._model: Model | None = None
        self._needs_bytes = candidate.memory_bytes
        self._failures, self._over = 0, ""
        # All since it began, and what of it is not written down: records, which are read without a lock.
        self._all = self._unwritten = ShadowReport(current.digest, candidate.digest)
        self._written_at = self.clock.monotonic()
        # A daemon, since a call into an engine cannot be interrupted and may never return.
        self.thread = threading.Thread(target=self.run, name="edgeinfer-shadow", daemon=True)
        _alive.add(self)

    def run(self) -> None:
        """Work until told to end."""
        _lower_own_priority()
        while True:
            try:
                item = self.items.get(timeout=self._patience_s())
            except queue.Empty:
                self.look_around()
                continue
            if item is None:
                break
            began = self.clock.monotonic()
            try:
                self._take(*item, began)
            except Exception as error:  # of the candidate, or of whatever the app handed in
                self._failed(error)
            item = None  # an input must not be kept alive by the wait for the next one
            now = self.clock.monotonic()
            if self.rest[0] <= now:
                self._rest_until(now + rest_s(now - began, self._limits.cpu_share), "cpu")
            self._write_if_due()
            self.place.release()
        self._write()
        self._let_go()

    def end(self, why: str = "closed") -> None:
        """Take no more items, and end behind the one that is here; waits for nothing."""
        self._over = why
        self.rest = (_FOR_EVER, why)
        self.items.put(None)

    def report(self) -> ShadowReport:
        """Return what was found in this process."""
        return merged(self._all, self._only(dropped=dict(self.dropped)))

    def look_around(self) -> None:
        """Let the candidate go where memory is scarce, and write down what has waited for long."""
        if hindrance(self._limits, Surroundings(), resident_bytes(), 0) == "memory":
            self._let_go()
        self._write_if_due()

    def _patience_s(self) -> float | None:
        bounded = self._model is not None and self._limits.memory_bytes is not None
        waiting = self._home is not None and self._unwritten.compared > 0
        return _LOOK_S if bounded or waiting else None

    def _take(self, item: Item, prediction: Prediction, now: float) -> None:
        no = self._hindered(now) or self._unfit(prediction)
        if no:
            self.dropped[no] += 1
            return
        model = self._model or self._loaded()
        if model is None:
            return
        try:
            prepared = item(model)
        except Exception:  # the item's fault, and not the candidate's
            self.dropped["handover"] += 1
            return
        found = compared(prediction, model.answer(prepared), self._limits.tolerance)
        self._failures = 0
        self._note(with_comparison(self._only(), found))

    def _hindered(self, now: float) -> str:
        """Return what the device has against a run now, and leave it in peace for a while."""
        if now >= self._seen[0] + _LOOK_S:
            self._seen = (now, self._surroundings())
        needs = self._needs_bytes if self._model is None else 0
        no = hindrance(self._limits, self._seen[1], resident_bytes(), needs)
        if no:
            self._rest_until(now + _LOOK_S, no)
        if no == "memory":
            self._let_go()
        return no

    def _unfit(self, prediction: Prediction) -> str:
        """Return why an answer is not to be compared, or not now."""
        serves = self._serves()
        if prediction.source != "device" or prediction.bundle != self._all.current:
            return "other"
        return "crowded" if serves is not None and serves.calls_in_line else ""

    def _loaded(self) -> Model | None:
        """Load the candidate; return None where it cannot be asked."""
        try:
            model = self._candidate.load()
        except Exception as error:  # whatever loads it
            self._note(self._only(errors={type(error).__name__: 1}))
            self._stop("load")
            return None
        self._model = model
        self._needs_bytes = max(self._needs_bytes, model.health.grown_bytes or 0)
        if model.digest != self._candidate.digest:
            self._stop("digest")
        elif model.manifest.inputs != self._inputs:
            self._stop("inputs")
        else:
            return model
        return None

    def _let_go(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def _failed(self, error: Exception) -> None:
        self._note(self._only(errors={type(error).__name__: 1}))
        self._failures += 1
        if self._failures >= self._limits.errors:
            self._stop("errors")

    def _stop(self, why: str) -> None:
        """End for good."""
        self._note(self._only(stopped=why))
        self.end("stopped")

    def _rest_until(self, until: float, why: str) -> None:
        self.rest = (until, why)
        # `end` says so here first: one of the two sees the other.
        if self._over:
            self.rest = (_FOR_EVER, self._over)

    def _only(self, **values: Mapping[str, int] | str) -> ShadowReport:
        """Return a report that says this and nothing else."""
        return changed(ShadowReport(self._all.current, self._all.candidate), **values)

    def _note(self, report: ShadowReport) -> None:
        self._all, self._unwritten = merged(self._all, report), merged(self._unwritten, report)

    def _write_if_due(self) -> None:
        waited_s = self.clock.monotonic() - self._written_at
        if self._unwritten.compared >= _BATCH or waited_s >= _BATCH_S:
            self._write()

    def _write(self) -> None:
        self._written_at = self.clock.monotonic()
        taken = {why: count for why, count in self.dropped.items() if count}
        for why, count in taken.items():
            self.dropped[why] -= count
        self._note(self._only(dropped=taken))
        if self._home is None or self._unwritten == self._only():
            return
        try:
            keep_report(self._home, self._unwritten)
        except StoreError as error:  # it is tried again with the next batch
            self._note(self._only(errors={type(error).__name__: 1}))
        else:
            self._unwritten = self._only()


def _lower_own_priority() -> None:
    """Let everything else go first. Linux alone has a priority for a thread that any user may lower."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


_OVER = ("stopped", "closed", "forked")
_alive: WeakSet[ShadowWork] = WeakSet()


def _after_fork() -> None:
    # In the child the thread is not there, and no engine works.
    for each in list(_alive):
        each.end("forked")


def _at_exit() -> None:
    # A thread that comes back from native code while the interpreter falls apart would abort the process.
    working = [each for each in list(_alive) if each.thread.is_alive()]
    for each in working:
        each.end()
    until = time.monotonic() + _EXIT_S
    for each in working:
        each.thread.join(max(0.0, until - time.monotonic()))


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
