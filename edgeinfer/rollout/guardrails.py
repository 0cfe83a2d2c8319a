"""What stops a bundle on this device at once, without a network: a verdict over what was seen of it. Pure.

Invariants:
* one breach is enough, and the gravest is told;
* what may be the device's or the input's doing is held against no bundle: heat, too many calls, saturated outputs, and
  the time and memory of a first load, in which every variant is measured;
* what needs many runs to be known is judged after many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.inference import Health

Kind = Literal["load_failure", "crash_loop", "not_finite", "errors", "p99", "memory", "load"]


@frozen
class Breach:
    """What a bundle did that it must not do.

    Attributes:
        kind: `load_failure`, `crash_loop`, `not_finite` (outputs are NaN or infinite), `errors` (of the engine), or
            `p99`, `memory`, `load` for a budget of its manifest.
        message: The same in words, with figures.
    """

    kind: Kind
    message: str


@frozen
class Observed:
    """What was seen of a bundle.

    Attributes:
        health: Of the loaded model, with its alarms; None where it did not load.
        load_error: Why it did not load, or its self-test failed; empty where it did.
        deaths: Loads in a row in which the process died before the first answer.
        failed_answers: Calls that the model failed with `EngineRunError`, as whoever called it saw. An answer with NaN
            fails at once; of a model that runs in less than a millisecond health sees only every 64th.
        remembered: Whether its choice of variant and engine was known from an earlier load (`Selection.cached`): its
            budgets of loading are for such loads.
    """

    health: Health | None = None
    load_error: str = ""
    deaths: int = 0
    failed_answers: int = 0
    remembered: bool = True


@frozen
class Thresholds:
    """From when on something is a breach.

    Attributes:
        deaths: Loads in a row that died.
        errors: Failed runs, at the least.
        error_share: The share of all runs that they are at the least, so that a rare failure in a long life is none.
        runs: Before the 99th percentile is judged: of 300 at least four are above it then.
    """

    deaths: int = 2
    errors: int = 3
    error_share: float = 0.01
    runs: int = 300


def verdict(observed: Observed, thresholds: Thresholds | None = None) -> Breach | None:
    """Return the gravest breach, or None."""
    limits, health = thresholds or Thresholds(), observed.health
    if observed.load_error:
        return Breach("load_failure", observed.load_error)
    if observed.deaths >= limits.deaths:
        return Breach("crash_loop", f"{observed.deaths} loads in a row died before the first answer")
    return None if health is None else _of_health(health, observed, limits)


def _of_health(health: Health, observed: Observed, limits: Thresholds) -> Breach | None:
    alarms = {alarm.kind: alarm.message for alarm in health.alarms}
    if "not_finite" in alarms:
        return Breach("not_finite", alarms["not_finite"])
    failed, runs = max(health.errors, observed.failed_answers), health.runs + health.errors
    if failed >= limits.errors and failed >= limits.error_share * runs:
        return Breach("errors", f"{failed} answers failed, of {runs} runs")
    budgets: tuple[tuple[Kind, bool], ...] = (
        ("p99", health.runs >= limits.runs and not health.throttled),
        ("memory", observed.remembered),
        ("load", observed.remembered),
    )
    return next((Breach(kind, alarms[kind]) for kind, counts in budgets if counts and kind in alarms), None)
