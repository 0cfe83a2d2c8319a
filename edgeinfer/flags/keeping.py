"""What a home keeps of flags: the newest document, so that a kill holds after a restart, and the device's positions.

A position is where the device stands on the line of shares in one rollout: once drawn, nothing moves it.
"""

from __future__ import annotations

from edgeinfer.errors import FlagError
from edgeinfer.flags.document import Document, read_document
from edgeinfer.flags.percentages import POSITIONS
from edgeinfer.flags.snapshot import Positions
from edgeinfer.store import Home

_ONE = "fetched"


class KeptFlags:
    """The newest document of a home, and the device's positions."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def newest(self) -> tuple[Document, float] | None:
        """Return the document that was fetched last, and the seconds since it was known to be the newest.

        Raises:
            StoreError: The home cannot be read.
            FlagError: It is no document: a release that read more wrote it.
        """
        found = self._home.rows("SELECT data, at FROM flags WHERE name = ?", (_ONE,))
        if not found:
            return None
        data, at = found[0]
        # A clock that went back tells nothing of a document's age.
        return read_document(data), max(0.0, self._home.clock.utc() - at)

    def keep(self, document: Document) -> None:
        """Keep a document that is the newest now; one that another process kept of a later release stays.

        Raises:
            StoreError: It cannot be kept.
            FlagError: Another process has seen a later release.
        """
        with self._home.transaction(durable=True) as connection:
            found = connection.execute("SELECT version FROM flags WHERE name = ?", (_ONE,)).fetchone()
            if found is not None and found[0] > document.version:
                raise FlagError(
                    "a document of flags is older than one that another process has seen",
                    found=f"release {document.version}",
                    expected=f"{found[0]} or later",
                )
            connection.execute(
                "INSERT OR REPLACE INTO flags VALUES (?, ?, ?, ?)",
                (_ONE, document.version, self._home.clock.utc(), document.data),
            )

    def positions(self) -> dict[tuple[str, str], int]:
        """Return where this device stands, by flag and rollout.

        Raises:
            StoreError: The home cannot be read.
        """
        rows = self._home.rows("SELECT flag, rollout, position FROM assignments")
        return {(flag, rollout): position for flag, rollout, position in rows if 0 <= position < POSITIONS}

    def settle(self, drawn: Positions) -> dict[tuple[str, str], int]:
        """Keep positions that were drawn, but for those that another process drew before; return all that hold.

        Raises:
            StoreError: They cannot be kept.
        """
        with self._home.transaction(durable=True) as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO assignments VALUES (?, ?, ?)", [(*at, drawn[at]) for at in drawn]
            )
        return self.positions()
