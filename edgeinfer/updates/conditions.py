"""Whether now is the time to fetch a bundle: a pure decision."""

from __future__ import annotations

from edgeinfer.frozen import frozen
from edgeinfer.host import Surroundings


@frozen
class Conditions:
    """What has to be so before a bundle is fetched; documents of flags are small, and always are.

    Attributes:
        unmetered: The network must not be known to be metered.
        charging: The device must not be known to run on its battery.
        least_battery: Charge in 0..1 that there must be, unless it is charging or there is no battery.
        spare_bytes: Bytes of the disk that must stay free.
    """

    unmetered: bool = True
    charging: bool = False
    least_battery: float = 0.15
    spare_bytes: int = 64 * 1024 * 1024


def obstacle(
    conditions: Conditions, surroundings: Surroundings, free_bytes: int | None, needed_bytes: int
) -> str:
    """Return why a bundle is not fetched now; empty where nothing is in the way.

    Args:
        conditions: What has to be so.
        surroundings: Network and power.
        free_bytes: Free bytes of the disk; None where that is not known.
        needed_bytes: What would be written.
    """
    power = surroundings
    if power.network == "none":
        return "there is no network"
    if conditions.unmetered and power.network == "metered":
        return "the network is metered"
    if conditions.charging and power.charging is False:
        return "the device is not charging"
    if power.battery is not None and not power.charging and power.battery < conditions.least_battery:
        return f"the battery is at {power.battery:.0%}, below {conditions.least_battery:.0%}"
    if free_bytes is not None and free_bytes - needed_bytes < conditions.spare_bytes:
        return f"{free_bytes:,} bytes are free, {needed_bytes:,} are needed and {conditions.spare_bytes:,} must stay"
    return ""
