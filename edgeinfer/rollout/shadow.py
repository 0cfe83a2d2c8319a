"""Shadow: a candidate answers beside the model that serves, on a sample of real items, and nobody waits for it.

Invariants:
* whoever has an answer hands it over and goes on: nothing here blocks them, raises, or makes them wait in a line;
* one item at a time: what comes while the candidate is busy, rests, or must not run now is dropped and counted;
* inputs and outputs are let go when they were compared: counts are all that stays;
* a shadow that nobody holds any more ends, as one that was closed, or whose candidate failed several times in a row.
"""

from __future__ import annotations

import copy
import random
import threading
import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.errors import PolicyError
from edgeinfer.frozen import changed, frozen
from edgeinfer.host import Surroundings, surroundings_now
from edgeinfer.rollout.shadow_limits import ShadowLimits, checked_limits
from edgeinfer.rollout.shadow_work import ShadowWork

if TYPE_CHECKING:
    from edgeinfer.inference import Model, Prediction
    from edgeinfer.inference.intake import Prepared, Source
    from edgeinfer.rollout.shadow_report import ShadowReport
    from edgeinfer.rollout.shadow_work import Item
    from edgeinfer.store import Home

_END_S = 5.0


@frozen
class ShadowCandidate:
    """A bundle that may serve one day.

    Attributes:
        digest: Of the bundle.
        load: Loads it; called on the shadow's own thread. `edgeinfer.load(path, measure=False)` is kind to the device:
            what is measured at the lowest priority beside a model that serves is not worth being remembered.
        memory_bytes: What it is expected to add to the memory of the process.
    """

    digest: str
    load: Callable[[], Model]
    memory_bytes: int = 0


class Shadow:
    """Runs a candidate in the shadow of a model. Threads may share it; a child that is forked has none.

    Args:
        current: The model that serves; a candidate that takes other inputs stops the shadow.
        candidate: What runs beside it; loaded with the first item.
        sample: The share of items that are handed to it, 0..1, each drawn on its own.
        limits: What it may cost.
        home: Where its report is kept, and its clock.
        surroundings: Tells the state of the battery; asked every ten seconds at most.

    Raises:
        PolicyError: The sample is no share, or the limits make no sense.
    """

    def __init__(
        self,
        current: Model,
        candidate: ShadowCandidate,
        sample: float,
        *,
        limits: ShadowLimits | None = None,
        home: Home | None = None,
        surroundings: Callable[[], Surroundings] = surroundings_now,
    ) -> None:
        if not 0 <= sample <= 1:
            raise PolicyError("the sample of a shadow", found=sample, expected="0 to 1")
        limits = checked_limits(limits or ShadowLimits())
        self._sample = sample
        self._work = ShadowWork(current, candidate, limits, home, surroundings)
        # The thread holds nothing of this object: whoever lets it go without closing it ends it.
        weakref.finalize(self, self._work.end).atexit = False
        self._work.thread.start()

    def offer(self, prepared: Prepared, prediction: Prediction) -> None:
        """Hand over an item that was answered; returns at once and raises nothing.

        Args:
            prepared: The item, as `Model.prepare` made it; copied if it is taken.
            prediction: The answer.
        """
        if self._takes():
            self._hand_over(partial(_prepared, prepared), prediction)

    def offer_source(self, source: Source, prediction: Prediction) -> None:
        """Hand over an item that is prepared once more, on the shadow's own thread; returns and raises as `offer` does.

        Args:
            source: The item, as `Model.predict` took it; copied if it is taken. A file is read again.
            prediction: The answer.
        """
        if self._takes():
            self._hand_over(partial(_unprepared, source), prediction)

    def _takes(self) -> bool:
        """Return whether this item is one of the sample and its place is free, which is held then."""
        if random.random() >= self._sample:  # noqa: S311 - no secret
            return False
        work = self._work
        until, why = work.rest
        if until > work.clock.monotonic():
            work.dropped[why] += 1
        elif work.place.acquire(blocking=False):
            return True
        else:
            work.dropped["busy"] += 1
        return False

    def _hand_over(self, copied: Callable[[], Item], prediction: Prediction) -> None:
        work, taken = self._work, False
        try:
            outputs = {name: np.array(each) for name, each in prediction.outputs.items()}
            work.items.put((copied(), changed(prediction, outputs=outputs)))
            taken = True
        except Exception:  # whatever is handed in
            work.dropped["handover"] += 1
        finally:
            if not taken:
                work.place.release()

    def report(self) -> ShadowReport:
        """Return what it found since it began, in this process; `shadow_reports` has all that a home keeps."""
        return self._work.report()

    def close(self, timeout_s: float = _END_S) -> bool:
        """Let no more items in, write the report down, and free the candidate's memory.

        Returns:
            False where the candidate did not come back from its run in time; it ends when it does.
        """
        thread = self._work.thread
        self._work.end()
        if (
            thread is not threading.current_thread()
        ):  # which the app's own code may run on, and the garbage collector
            thread.join(timeout_s)
        return not thread.is_alive()

    def __enter__(self) -> Shadow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _prepared(prepared: Prepared) -> Item:
    """Return an item without the arrays of its caller's, which may hold something else soon."""
    tensors, placement = prepared
    kept = {name: np.array(each) for name, each in tensors.items()}, placement
    return lambda _: kept


def _unprepared(source: Source) -> Item:
    kept = copy.deepcopy(source)
    return lambda model: model.prepare(kept)
