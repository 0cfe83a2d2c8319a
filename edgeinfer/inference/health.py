"""How a loaded model is doing, as a record, and what of it is a reason to worry: pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.bundle import Budgets


@frozen
class Alarm:
    """Something about a loaded model that is not as it should be.

    Attributes:
        kind: `p99`, `load` or `memory` for a budget of the manifest that is exceeded; `not_finite`, `saturated`,
            `errors`, `throttled` or `shedding`.
        message: The same in words, with figures.
    """

    kind: str
    message: str


@frozen
class Health:
    """The state of a loaded model.

    Attributes:
        runs: Runs of the model that ended well.
        errors: Runs that failed in the engine.
        p50_ms: Median time of a run, within a sixteenth; None before the first.
        p99_ms: 99th percentile, likewise.
        largest_ms: The longest run.
        load_ms: From the call of `load` to a model that answers.
        resident_bytes: Resident memory of the whole process, None where the platform does not tell.
        grown_bytes: What loading this model added to it, likewise.
        celsius: The hottest sensor, None where there is none.
        throttled: Whether the processor was slowed down, None where not told.
        checked: Runs whose outputs were looked at for what follows: each that took over a millisecond, else one in 64.
        not_finite: Those with NaN or infinite values.
        saturated: Those in which over half of the values of an int8 output lie at an end of its range.
        in_line: Calls that stand in line now.
        shed: Answers that were given with less, since there were too many calls.
        shedding: Whether that is so now.
        alarms: What is not as it should be.
    """

    runs: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    largest_ms: float
    load_ms: float
    resident_bytes: int | None
    grown_bytes: int | None
    celsius: float | None
    throttled: bool | None
    checked: int
    not_finite: int
    saturated: int
    in_line: int
    shed: int
    shedding: bool
    alarms: tuple[Alarm, ...] = ()


def with_alarms(health: Health, budgets: Budgets | None) -> Health:
    """Return the state with all that is to be said of it."""
    exceeded = _exceeded(health, budgets) if budgets else ()
    return replace(health, alarms=(*exceeded, *_wrong(health)))


def _exceeded(health: Health, budgets: Budgets) -> list[Alarm]:
    rows = (
        ("p99", "99 of 100 runs take up to", health.p99_ms, budgets.p99_ms, "ms"),
        ("load", "loading took", health.load_ms, budgets.load_ms, "ms"),
        ("memory", "loading added", health.grown_bytes, budgets.memory_bytes, "bytes"),
    )
    return [
        Alarm(kind, f"{what} {value:,.10g} {unit}, the bundle's budget is {limit:,.10g}")
        for kind, what, value, limit, unit in rows
        if value is not None and limit is not None and value > limit
    ]


def _wrong(health: Health) -> list[Alarm]:
    rows = (
        (
            "not_finite",
            health.not_finite,
            f"outputs are NaN or infinite in {health.not_finite} of {health.checked}",
        ),
        (
            "saturated",
            health.saturated,
            f"int8 outputs are at their ends in {health.saturated} of {health.checked}",
        ),
        ("errors", health.errors, f"the engine failed in {health.errors} runs"),
        ("throttled", health.throttled, "the processor is slowed down"),
        ("shedding", health.shedding, "there are too many calls: answers are given with less"),
    )
    return [Alarm(kind, message) for kind, present, message in rows if present]
