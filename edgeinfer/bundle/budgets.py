"""What a model may cost on a device."""

from __future__ import annotations

from edgeinfer.bundle.require import require
from edgeinfer.frozen import frozen


@frozen
class Budgets:
    """Limits that the maker of a bundle sets; a loaded model that exceeds one says so in its health.

    Attributes:
        p99_ms: 99th percentile of the time of a run, without preprocessing, in milliseconds.
        load_ms: From the call of `load` to a model that answers, its choice being remembered, in milliseconds.
        memory_bytes: What loading it adds to the resident memory of a process.
    """

    p99_ms: float | None = None
    load_ms: float | None = None
    memory_bytes: int | None = None


def check_budgets(budgets: Budgets) -> None:
    """Hold budgets against their rules.

    Raises:
        ManifestError: One is not above 0.
    """
    for name, value in vars(budgets).items():
        require(value is None or value > 0, f"budgets.{name}", value, "above 0")
