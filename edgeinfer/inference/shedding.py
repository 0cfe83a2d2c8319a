"""When to answer with less: a decision from queue delays alone, with hysteresis.

Pure: no clock is read and nothing is run here. As in CoDel (Nichols and Jacobson 2012, RFC 8289) it is the time
that calls stood in the queue that counts, and only when it stays high for a while: a queue that drains is doing
its work. Leaving takes longer than entering and asks for half the delay, so that a load at the edge does not
make the level flutter.
"""

from __future__ import annotations

from dataclasses import replace

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen

_MS = 1_000_000


@frozen
class Shedding:
    """When to shed load, and when to stop.

    Attributes:
        max_queue_ms: Delay in the queue that is still good.
        after_ms: Time for which every delay must be above that before the next level is taken.
        calm_ms: Time for which every delay must be at most half of it before the level before is taken again.
    """

    max_queue_ms: float = 20.0
    after_ms: float = 50.0
    calm_ms: float = 1000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InputError(f"{name} of shedding", found=value, expected="a number above 0, in ms")


@frozen
class Load:
    """What is remembered of the delays seen.

    Attributes:
        level: 0 is normal; each higher level answers with less.
        over_since_ns: Since when every delay was above the limit, or None.
        calm_since_ns: Since when every delay was at most half of it, or None.
        last_ns: When a delay was last seen.
    """

    level: int = 0
    over_since_ns: int | None = None
    calm_since_ns: int | None = None
    last_ns: int = 0


def after_delay(load: Load, policy: Shedding, now_ns: int, delay_ns: int, highest: int) -> Load:
    """Return the load after a call left the queue.

    Args:
        load: Before.
        policy: The limits.
        now_ns: The time, of a clock that never goes back.
        delay_ns: How long the call stood in the queue.
        highest: Level above which there is nothing smaller to answer with.
    """
    if load.level and now_ns - load.last_ns >= policy.calm_ms * _MS:
        load = Load()  # nobody asked for a while
    load = replace(load, last_ns=now_ns)
    limit = policy.max_queue_ms * _MS
    if delay_ns > limit:
        since = now_ns if load.over_since_ns is None else load.over_since_ns
        if now_ns - since >= policy.after_ms * _MS and load.level < highest:
            return replace(load, level=load.level + 1, over_since_ns=now_ns, calm_since_ns=None)
        return replace(load, over_since_ns=since, calm_since_ns=None)
    if delay_ns > limit / 2:
        return replace(load, over_since_ns=None, calm_since_ns=None)
    since = now_ns if load.calm_since_ns is None else load.calm_since_ns
    if load.level and now_ns - since >= policy.calm_ms * _MS:
        return replace(load, level=load.level - 1, over_since_ns=None, calm_since_ns=now_ns)
    return replace(load, over_since_ns=None, calm_since_ns=since)
