"""Heat: temperatures, and whether the processor was slowed down, where the platform tells."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.frozen import frozen

_PI_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Bits 0..3 of the firmware's word: under-voltage, frequency capped, throttled, soft temperature limit; now.
_PI_NOW = 0b1111


@frozen
class Thermal:
    """What the platform tells of heat; None where it does not.

    Attributes:
        celsius: The hottest sensor of a processor or board.
        throttled: Whether the processor is slower than it could be, for heat or lack of power: now on a
            Raspberry Pi, at some time since it was started on other machines.
    """

    celsius: float | None = None
    throttled: bool | None = None


def thermal(root: Path = Path("/")) -> Thermal:
    """Read the sensors of Linux.

    Sources: the kernel's `driver-api/thermal/sysfs-api` (millidegrees in `thermal_zone*/temp`), its x86
    `thermal_throttle` counters, and the Raspberry Pi documentation of `vcgencmd get_throttled`.

    Args:
        root: Where `sys` is; another folder in tests.
    """
    zones = [_number(path) for path in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))]
    known = [zone / 1000 for zone in zones if zone is not None]
    return Thermal(max(known, default=None), _throttled(root))


def _throttled(root: Path) -> bool | None:
    firmware = _number(root / _PI_FIRMWARE, base=16)
    if firmware is not None:
        return bool(firmware & _PI_NOW)
    counters = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = [count for count in map(_number, sorted(counters)) if count is not None]
    return any(counts) if counts else None


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(path.read_text().strip(), base)
    except (OSError, ValueError):
        return None
