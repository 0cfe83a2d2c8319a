"""What a shadow may cost a device, and what keeps it from running now. Pure."""

from __future__ import annotations

from typing import Literal

from edgeinfer.errors import PolicyError
from edgeinfer.frozen import frozen
from edgeinfer.host import Surroundings

Hindrance = Literal["", "battery", "memory"]


@frozen
class ShadowLimits:
    """What a shadow may cost.

    Attributes:
        cpu_share: The share of one processor's time that it takes at most, above 0 and up to 1: after `t` of work it
            rests for `t (1 / share - 1)`.
        memory_bytes: Resident memory of the process beyond which it lets the candidate go; None for no limit.
        min_battery: Charge in 0..1 below which it runs only while the device is charged.
        errors: Failures in a row after which it stops for good.
        tolerance: Of outputs that are neither classes nor things, as a share of the largest value.
    """

    cpu_share: float = 0.1
    memory_bytes: int | None = None
    min_battery: float = 0.3
    errors: int = 3
    tolerance: float = 0.05


def checked_limits(limits: ShadowLimits) -> ShadowLimits:
    """Return limits that make sense.

    Raises:
        PolicyError: One does not.
    """
    rows = (
        ("cpu_share", 0 < limits.cpu_share <= 1, "above 0, up to 1"),
        ("memory_bytes", limits.memory_bytes is None or limits.memory_bytes > 0, "above 0"),
        ("min_battery", 0 <= limits.min_battery <= 1, "0 to 1"),
        ("errors", limits.errors >= 1, "at least 1"),
        ("tolerance", limits.tolerance >= 0, "0 or more"),
    )
    for name, fine, expected in rows:
        if not fine:
            raise PolicyError(f"{name} of a shadow's limits", found=getattr(limits, name), expected=expected)
    return limits


def rest_s(took_s: float, cpu_share: float) -> float:
    """Return how long a shadow rests after so many seconds of work, so that it works for a share of the time."""
    return took_s * (1 / cpu_share - 1)


def hindrance(
    limits: ShadowLimits, surroundings: Surroundings, resident_bytes: int | None, needs_bytes: int
) -> Hindrance:
    """Return what keeps a shadow from running; what a platform does not tell keeps it from nothing.

    Args:
        limits: What it may cost.
        surroundings: The state of the power.
        resident_bytes: Memory of the process.
        needs_bytes: What the candidate would add to it; 0 where it is loaded.
    """
    charge, most = surroundings.battery, limits.memory_bytes
    if charge is not None and charge < limits.min_battery and surroundings.charging is False:
        return "battery"
    if most is not None and resident_bytes is not None and resident_bytes + needs_bytes > most:
        return "memory"
    return ""
