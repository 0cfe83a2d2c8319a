"""Which bundle served first in a rollout, and since when: what a comparison of variants counts.

Invariants:
* an exposure is the first inference that a digest served in a rollout and variant: no flag that was read, no install;
* it is on the disk before anything is said against that digest;
* it is noted once, whichever process of a home was first; later inferences cost a lookup.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.store import Home

# An answer waits for its exposure for a moment only.
_PATIENCE_MS = 40


@frozen
class Exposure:
    """A digest that serves.

    Attributes:
        family: Of the model.
        rollout: Id of the rollout; empty without one.
        variant: Of the flag that chose the digest.
        digest: Of the bundle.
        at: When it served first, in seconds since 1970 by this device's clock; what is noted gets it from there.
    """

    family: str
    rollout: str
    variant: str
    digest: str
    at: float = 0.0


class Exposures:
    """The exposures of a home. Threads and processes may share them."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: set[tuple[str, str, str, str]] = set()

    def note(self, exposure: Exposure) -> bool:
        """Note that a digest served; return whether this was the first time on this device.

        Raises:
            StoreError: It cannot be noted now; the next inference tries again.
        """
        key = (exposure.family, exposure.rollout, exposure.variant, exposure.digest)
        if key in self._known:
            return False
        with self._home.transaction(durable=True, patience_ms=_PATIENCE_MS) as connection:
            first = expose(connection, exposure, self._home.clock.utc())
        self._known.add(key)
        return first

    def entries(self) -> list[Exposure]:
        """Return all of them, oldest first.

        Raises:
            StoreError: The home cannot be read.
        """
        rows = self._home.rows("SELECT family, rollout, variant, digest, at FROM exposures ORDER BY at")
        return [Exposure(*row) for row in rows]


def expose(connection: sqlite3.Connection, exposure: Exposure, at: float) -> bool:
    """Note an exposure within a transaction; return whether there was none before."""
    one = exposure
    return bool(
        connection.execute(
            "INSERT OR IGNORE INTO exposures VALUES (?, ?, ?, ?, ?)",
            (one.family, one.rollout, one.variant, one.digest, at),
        ).rowcount
    )
