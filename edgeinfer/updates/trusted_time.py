"""What time it is, for metadata that end: a device's clock may be wrong, and may be set.

Invariants:
* it is never before this release was made, nor before what was signed and verified last;
* the system's clock is never kept: one that was ahead for a day does no harm once it is right;
* a time that the key of the online timestamp told is forgotten when the root replaces that key: whoever stole it
  cannot hold a fleet in the future.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from edgeinfer.store import Home
from edgeinfer.version import BUILT


def trusted_time(system: float, signed: float = 0.0, built: float = BUILT) -> float:
    """Return the time, in seconds since 1970.

    Args:
        system: What the system's clock says.
        signed: The latest time that verified metadata told.
        built: When this release was made.
    """
    return max(system, signed, built)


class SignedTimes:
    """The latest time that signed metadata told, as a home keeps it.

    Args:
        home: The device's.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def latest(self, keys: Iterable[str]) -> float:
        """Return the latest time that was signed with these keys; 0 where none was.

        Raises:
            StoreError: The home cannot be read.
        """
        found = self._home.rows("SELECT at FROM times WHERE name = ?", (_name(keys),))
        return float(found[0][0]) if found else 0.0

    def saw(self, keys: Iterable[str], at: float) -> None:
        """Keep a time that was signed with these keys, where it is later than those before; forget other keys.

        Raises:
            StoreError: It cannot be kept.
        """
        name = _name(keys)
        if at <= self.latest(keys):
            return
        with self._home.transaction(durable=True) as connection:
            connection.execute("DELETE FROM times WHERE name <> ?", (name,))
            connection.execute(
                "INSERT INTO times VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = max(at, ?2)",
                (name, at),
            )


def _name(keys: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(sorted(keys)).encode()).hexdigest()
