"""Consent: what a user agreed to, for which purpose, when, and to which text.

Invariants:
* without a recorded consent nothing is allowed; a record that cannot be read allows nothing;
* the last word counts, and every word is kept, with its time; where one of them was changed, none counts;
* taking a consent back erases, in the same transaction, what is kept under it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, get_args

from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.frozen import frozen
from edgeinfer.store import Home, count

Purpose = Literal["cloud_inference", "deferred_inference"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_MOST_VERSION = 100
# How many words there are is kept beside them: one that is lost is missed.
_WORDS = "consents.words"
_ALL = (
    "SELECT 0, count, NULL, NULL, NULL, NULL FROM counters WHERE name = 'consents.words' "
    "UNION ALL SELECT id, purpose, granted, version, at, digest FROM consents ORDER BY 1"
)
# What is kept under a purpose. What waits was also allowed to be sent at all.
_ERASED: dict[Purpose, tuple[str, ...]] = {
    "cloud_inference": ("DELETE FROM deferred", "DELETE FROM answers WHERE origin = 'cloud'"),
    "deferred_inference": ("DELETE FROM deferred",),
}


@frozen
class Consent:
    """One word of a user's.

    Attributes:
        purpose: For what: `cloud_inference` sends an input to get its answer now, `deferred_inference` keeps it,
            sealed, to send it later.
        granted: Whether it was given; False where it was taken back.
        version: Of the text that was agreed to.
        at: When, in seconds since 1970 by this device's clock.
    """

    purpose: Purpose
    granted: bool
    version: str
    at: float


class Consents:
    """The consents of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def give(self, purpose: Purpose, version: str = "1") -> None:
        """Record that the user agreed.

        Args:
            purpose: For what.
            version: Of the text that was agreed to.

        Raises:
            PolicyError: There is no such purpose.
            StoreError: It cannot be recorded: it then was not given.
        """
        self._say(purpose, True, version)

    def withdraw(self, purpose: Purpose) -> None:
        """Record that the user takes it back, and erase what is kept under it.

        Raises:
            PolicyError: There is no such purpose.
            StoreError: It cannot be recorded; or it was, and copies of what was erased may still lie in the file.
        """
        self._say(purpose, False, "")
        self._home.forget_deleted()

    def allows(self, purpose: Purpose, version: str = "1") -> bool:
        """Whether a user's last word on a purpose was an agreement to that version of its text.

        Raises:
            StoreError: The record cannot be read, or was changed.
        """
        return _agreed(self.history(purpose, most=1), version)

    def last(self, purpose: Purpose) -> Consent | None:
        """Return the user's last word on a purpose, or None."""
        said = self.history(purpose, most=1)
        return said[-1] if said else None

    def history(self, purpose: Purpose | None = None, most: int = 1000) -> list[Consent]:
        """Return what was said, the last word last.

        Raises:
            StoreError: The record cannot be read, or was changed.
        """
        said = _read(self._home.rows(_ALL))
        return [each for each in said if purpose in (None, each.purpose)][-most:]

    def _say(self, purpose: Purpose, granted: bool, version: str) -> None:
        if purpose not in PURPOSES:
            raise PolicyError(
                "the purpose of a consent", found=purpose, expected=f"one of {', '.join(PURPOSES)}"
            )
        if len(version) > _MOST_VERSION or not version.isprintable():
            raise PolicyError("the version of a consent", found=version[:20], expected="up to 100 characters")
        with self._home.transaction(durable=True) as connection:
            number = 1 + connection.execute("SELECT COALESCE(MAX(id), 0) FROM consents").fetchone()[0]
            word = (number, purpose, int(granted), version, self._home.clock.utc())
            connection.execute("INSERT INTO consents VALUES (?, ?, ?, ?, ?, ?)", (*word, _digest(word)))
            count(connection, _WORDS)
            for statement in () if granted else _ERASED[purpose]:
                connection.execute(statement)


def agreed(connection: sqlite3.Connection, purpose: Purpose, version: str) -> bool:
    """Whether a consent holds, asked within a transaction: what it allows is then written in the same one.

    Raises:
        StoreError: The record was changed.
    """
    said = [each for each in _read(connection.execute(_ALL).fetchall()) if each.purpose == purpose]
    return _agreed(said, version)


def _agreed(said: Sequence[Consent], version: str) -> bool:
    return bool(said) and said[-1].granted and said[-1].version == version


def _read(rows: Sequence[tuple[Any, ...]]) -> list[Consent]:
    known = rows[0][1] if rows and rows[0][0] == 0 else 0
    rows = rows[1:] if known else rows
    for at, (*word, digest) in enumerate(rows, start=1):
        if word[0] != at or digest != _digest(tuple(word)):
            raise StoreError(
                "the record of consents was changed", next_step="ask for consent again, in a new home"
            )
    if len(rows) != known:
        raise StoreError("the record of consents was changed", found=f"{len(rows)} words", expected=known)
    return [Consent(purpose, bool(granted), version, at) for _, purpose, granted, version, at, _ in rows]


def _digest(word: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(word).encode(errors="surrogatepass")).hexdigest()
