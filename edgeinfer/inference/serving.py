"""Which of a model's variants answers now: one, or under a spike a smaller one."""

from __future__ import annotations

from edgeinfer.inference.load_level import LoadLevel
from edgeinfer.inference.served import Served
from edgeinfer.inference.shedding import Shedding
from edgeinfer.inference.watch import Watch


class Serving:
    """A variant, and perhaps a lighter one that takes over while there are too many calls.

    Attributes:
        normal: What answers unless calls stand in line for too long.
        watch: Its health.
    """

    def __init__(self, normal: Served, watch: Watch, lighter: Served | None, policy: Shedding) -> None:
        self.normal, self.watch = normal, watch
        self._lighter = lighter
        self._level = LoadLevel(policy)
        if lighter is not None:
            normal.lane.on_delay = lighter.lane.on_delay = self._level.seen
            watch.shedding = lambda: self._level.high
            watch.also(lighter.lane, lighter.variant)

    @property
    def sheds(self) -> bool:
        """Whether there is a lighter variant."""
        return self._lighter is not None

    def now(self) -> tuple[Served, str]:
        """Return what answers the next call, and why."""
        if self._lighter is None or not self._level.high:
            return self.normal, self.normal.reason
        self.watch.shed += 1
        return self._lighter, f"{self._level.reason}, so that {self._lighter.variant.id} answers"

    def close(self) -> None:
        """Free the memory of all variants."""
        self.normal.close()
        if self._lighter is not None:
            self._lighter.close()
