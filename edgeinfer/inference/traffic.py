"""How a model takes many calls: batches, the line before it, and what it does when there are too many."""

from __future__ import annotations

from dataclasses import field

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen
from edgeinfer.inference.shedding import Shedding

_MOST_BATCH = 4096


@frozen
class Traffic:
    """What may be done with calls that come at once.

    Attributes:
        max_batch: Calls that may run as one, where the model's batch is free and a measurement at load shows that
            this pays. 1 runs each alone.
        max_delay_ms: How long the first call of a batch may wait for others, when the batch before had company;
            calls that come alone never wait. 0 takes those that came while the one before ran.
        max_waiting: Calls that may stand in line; further ones get `OverloadError`.
        shed_to: Id of the bundle's variant that answers while there are too many calls; None sheds nothing.
        shedding: When that begins and ends.

    Raises:
        InputError: A number is out of range.
    """

    max_batch: int = 32
    max_delay_ms: float = 0.0
    max_waiting: int = 1024
    shed_to: str | None = None
    shedding: Shedding = field(default_factory=Shedding)

    def __post_init__(self) -> None:
        checks = (
            ("max_batch", 1 <= self.max_batch <= _MOST_BATCH, f"1 to {_MOST_BATCH}"),
            ("max_delay_ms", 0 <= self.max_delay_ms < float("inf"), "0 or more"),
            ("max_waiting", self.max_waiting >= 0, "0 or more"),
        )
        for name, good, expected in checks:
            if not good:
                raise InputError(f"{name} of traffic", found=getattr(self, name), expected=expected)
