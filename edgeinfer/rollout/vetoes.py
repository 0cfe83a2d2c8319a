"""Digests that this device does not run any more, and why: the last word before any flag.

Invariants:
* a veto holds from the moment it is told, also where the home cannot be written; there until this process ends;
* the exposure of a digest that served is written in the same transaction as its veto, before it;
* the first reason stays; a digest is let back by `lift` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinfer.frozen import frozen
from edgeinfer.rollout.exposures import Exposure, expose

if TYPE_CHECKING:
    from edgeinfer.rollout.guardrails import Breach
    from edgeinfer.store import Home


@frozen
class Veto:
    """A digest that is not run.

    Attributes:
        digest: Of the bundle.
        kind: Of the breach.
        message: The same in words.
        at: When, in seconds since 1970 by this device's clock.
    """

    digest: str
    kind: str
    message: str
    at: float


class Vetoes:
    """The vetoes of a home. Threads and processes may share them."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._unwritten: dict[str, Veto] = {}

    def add(self, digest: str, breach: Breach, exposure: Exposure | None = None) -> None:
        """Veto a digest.

        Args:
            digest: Of the bundle.
            breach: What it did.
            exposure: What it served in, if it served.

        Raises:
            StoreError: It cannot be written: the veto holds in this process alone.
        """
        veto = Veto(digest, breach.kind, breach.message, self._home.clock.utc())
        self._unwritten[digest] = veto
        with self._home.transaction(durable=True) as connection:
            if exposure is not None:
                expose(connection, exposure, veto.at)
            connection.execute(
                "INSERT OR IGNORE INTO vetoes VALUES (?, ?, ?, ?)",
                (veto.digest, veto.kind, veto.message, veto.at),
            )
        del self._unwritten[digest]

    def has(self, digest: str) -> bool:
        """Whether a digest is vetoed.

        Raises:
            StoreError: The home cannot be read.
        """
        return digest in self._unwritten or bool(
            self._home.rows("SELECT 1 FROM vetoes WHERE digest = ?", (digest,))
        )

    def digests(self) -> frozenset[str]:
        """Return all digests that are vetoed, for `choose`.

        Raises:
            StoreError: The home cannot be read.
        """
        return frozenset(each.digest for each in self.entries())

    def entries(self) -> list[Veto]:
        """Return all of them, oldest first.

        Raises:
            StoreError: The home cannot be read.
        """
        rows = self._home.rows("SELECT digest, kind, message, at FROM vetoes ORDER BY at")
        written = [Veto(*row) for row in rows]
        known = {each.digest for each in written}
        return written + [each for each in list(self._unwritten.values()) if each.digest not in known]

    def lift(self, digest: str) -> bool:
        """Let a digest back; return whether it was vetoed.

        Raises:
            StoreError: It cannot be written: the veto holds.
        """
        with self._home.transaction(durable=True) as connection:
            gone = connection.execute("DELETE FROM vetoes WHERE digest = ?", (digest,)).rowcount
        return self._unwritten.pop(digest, None) is not None or bool(gone)
