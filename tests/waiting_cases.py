"""Cases that wait for the cloud, and what tests ask of them."""

from __future__ import annotations

import numpy as np

from edgeinfer.cloud import Tensor
from edgeinfer.fallback import QueueLimits
from edgeinfer.fallback.deferred import DeferredQueue, Waiting
from edgeinfer.privacy import PURPOSES, Consents, Sealer
from edgeinfer.store import Home

KEY = bytes(range(32))


def agree(home: Home) -> None:
    """Agree to all that the queue needs."""
    for purpose in PURPOSES:
        Consents(home).give(purpose, "1")


def queue_of(
    home: Home, limits: QueueLimits | None = None, bundle: str = "bundle", key: bytes = KEY
) -> DeferredQueue:
    return DeferredQueue(home, limits or QueueLimits(), bundle, Sealer(key))


def case(value: float = 0.0) -> list[Tensor]:
    return [Tensor("x", "FP32", np.full((1, 4), value, np.float32))]


def put(queue: DeferredQueue, *values: float) -> list[str]:
    """Let cases wait, a second apart."""
    numbers = []
    for value in values:
        number = queue.put(case(value), {"label": None}, "1")
        assert number is not None
        numbers.append(number)
        queue._home.clock.advance(1)
    return numbers


def value_of(waiting: Waiting | None) -> float | None:
    return None if waiting is None else float(waiting.tensors[0].value[0, 0])


def taken(queue: DeferredQueue) -> list[Waiting]:
    """Take all cases that can be had now."""
    found = []
    while (waiting := queue.claim()) is not None:
        found.append(waiting)
    return found


def claimed(queue: DeferredQueue) -> list[float]:
    """The cases that can be had now."""
    return [value_of(each) for each in taken(queue)]


def counted(home: Home) -> dict[str, int]:
    """What was counted of the queue."""
    return dict(home.rows("SELECT name, count FROM counters WHERE name LIKE 'deferred.%'"))
