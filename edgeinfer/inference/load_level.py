"""The load of a model, as its calls' delays tell it: the state around the decision in `shedding`."""

from __future__ import annotations

import threading

from edgeinfer.inference.shedding import Load, Shedding, after_delay


class LoadLevel:
    """Is told of each call's time in line, and says whether to answer with less now. Threads may share it.

    Args:
        policy: When to begin and when to stop.
    """

    def __init__(self, policy: Shedding) -> None:
        self.policy = policy
        self._load = Load()
        self._lock = threading.Lock()

    def seen(self, now_ns: int, delay_ns: int) -> None:
        """Note that a call left the line at a time of `perf_counter_ns`, after a delay."""
        with self._lock:
            self._load = after_delay(self._load, self.policy, now_ns, delay_ns, highest=1)

    @property
    def high(self) -> bool:
        """Whether to answer with less."""
        return self._load.level > 0

    @property
    def reason(self) -> str:
        """Why, for people."""
        return f"too many calls: they stood in line for over {self.policy.max_queue_ms:g} ms"
