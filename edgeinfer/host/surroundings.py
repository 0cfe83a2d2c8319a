"""What surrounds a device: its network and its power, where the platform tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edgeinfer.frozen import frozen

Network = Literal["none", "metered", "unmetered", "unknown"]
_LOOPBACK = "lo"
_FED = {"Charging": True, "Full": True, "Not charging": True, "Discharging": False}


@frozen
class Surroundings:
    """The state of network and power; an app that knows better hands in its own.

    Attributes:
        network: `none` where there is no way out; whether it is metered no Linux kernel tells, so that the answer here
            is `unknown` otherwise.
        battery: Charge in 0..1, or None where there is no battery or none is told of.
        charging: Whether it runs on mains, or None likewise.
    """

    network: Network = "unknown"
    battery: float | None = None
    charging: bool | None = None


def surroundings_now(root: Path = Path("/")) -> Surroundings:
    """Read what Linux tells.

    Sources: the kernel's `proc/net/route` and `proc/net/ipv6_route` (routing tables), and
    `ABI/testing/sysfs-class-power` (`type`, `capacity` in percent, `status`).

    Args:
        root: Where `proc` and `sys` are; another folder in tests.
    """
    batteries = list(_batteries(root))
    battery = min((charge for charge, _ in batteries), default=None)
    known = [fed for _, fed in batteries if fed is not None]
    charging = all(known) if known and len(known) == len(batteries) else None
    return Surroundings("none" if _cut_off(root) else "unknown", battery, charging)


def _cut_off(root: Path) -> bool:
    """Whether there are routing tables, and none of their routes leaves this machine."""
    tables = [_text(root / "proc/net" / name) for name in ("route", "ipv6_route")]
    if all(table is None for table in tables):
        return False
    four = [line.split()[0] for line in (tables[0] or "").splitlines()[1:] if line.split()]
    six = [line.split()[-1] for line in (tables[1] or "").splitlines() if line.split()]
    return not {*four, *six} - {_LOOPBACK}


def _batteries(root: Path) -> Iterator[tuple[float, bool | None]]:
    """Yield the charge of each battery, and whether it is fed, where that is told."""
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if _text(supply / "type") == "Battery" and _text(supply / "scope") != "Device":
            charge = _text(supply / "capacity") or ""
            if charge.isdigit():
                yield min(int(charge), 100) / 100, _FED.get(_text(supply / "status") or "")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
