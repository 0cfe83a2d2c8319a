"""The record of what left this device: when, where to, why, how much. Never what.

Invariants:
* a request that carries something of the user's is recorded, durably, before its first byte is sent: what cannot be
  recorded is not sent;
* no input, output, feature or credential is in it;
* it is bounded: the oldest entries go, and how many went is counted.
"""

from __future__ import annotations

import sqlite3

from edgeinfer.errors import PolicyError
from edgeinfer.frozen import frozen
from edgeinfer.privacy.consent import Purpose, agreed
from edgeinfer.store import Home, count

_MOST = 100_000
_DROPPED = "egress.dropped"
_UNDER_WAY = "under way"
_AHEAD_S = 60.0
# A request waits for its record for a moment; how it ended is worth less than that.
_PATIENCE_MS, _HURRY_MS = 40, 10


@frozen
class Departure:
    """One request.

    Attributes:
        destination: Scheme, host, port and path; never credentials.
        purpose: What the user agreed to, or `server_metadata` for questions about the server that carry nothing of
            the user's.
        why: Why it was sent: `low_confidence`, `local_error`, `mode` and others; `probe` and `metadata` for the
            latter kind.
        bytes: Length of its body.
        policy: SHA-256 of the policy that allowed it.
        bundle: SHA-256 of the bundle.
        reduced: What was taken from the input before.
        at: When, in seconds since 1970 by this device's clock.
        outcome: How it ended; `under way` where the process ended first.
    """

    destination: str
    purpose: str
    why: str
    bytes: int
    policy: str
    bundle: str
    reduced: str = ""
    at: float = 0.0
    outcome: str = _UNDER_WAY


@frozen
class Budget:
    """How many requests may be sent for some reasons.

    Attributes:
        whys: The reasons that count.
        since: From when, in seconds since 1970.
        now: The time.
        most: The most.
    """

    whys: tuple[str, ...]
    since: float
    now: float
    most: int


class EgressRecord:
    """The record of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def begin(
        self, departure: Departure, *consents: tuple[Purpose, str], budget: Budget | None = None
    ) -> int:
        """Note what is about to be sent; return its number.

        Args:
            departure: What.
            consents: The purposes, and the versions of their texts, that the user must have agreed to at this moment.
            budget: What must be left of it at this moment.

        Raises:
            PolicyError: The user does not agree any more, or the budget is spent: it must not be sent.
            StoreError: It cannot be noted: likewise.
        """
        with self._home.transaction(durable=True, patience_ms=_PATIENCE_MS) as connection:
            one = departure
            for consent in consents:
                if not agreed(connection, *consent):
                    raise PolicyError("the user took the consent back", found=consent[0])
            if budget is not None and one.why in budget.whys and _sent(connection, budget) >= budget.most:
                raise PolicyError(f"the budget of {budget.most} escalations an hour is spent")
            number = connection.execute(
                "INSERT INTO egress (at, destination, purpose, why, bytes, policy, bundle, reduced, outcome) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self._home.clock.utc(), one.destination, one.purpose, one.why, one.bytes, one.policy, one.bundle,
                 one.reduced, _UNDER_WAY),
            ).lastrowid  # fmt: skip
            assert number is not None, "a row was inserted"
            gone = connection.execute("DELETE FROM egress WHERE id <= ?", (number - _MOST,)).rowcount
            if gone:
                count(connection, _DROPPED, gone)
        return number

    def end(self, number: int, outcome: str) -> None:
        """Note how it ended."""
        with self._home.transaction(patience_ms=_HURRY_MS) as connection:
            connection.execute("UPDATE egress SET outcome = ? WHERE id = ?", (outcome, number))

    def entries(self, most: int = 1000) -> list[Departure]:
        """Return the latest, oldest first."""
        found = self._home.rows(
            "SELECT destination, purpose, why, bytes, policy, bundle, reduced, at, outcome FROM egress "
            "ORDER BY id DESC LIMIT ?",
            (most,),
        )
        return [Departure(*row) for row in reversed(found)]

    def sent_since(self, whys: tuple[str, ...], at: float) -> int:
        """Return how many were sent for one of these reasons since a time, by this device's clock."""
        query, values = _count_of(whys, at, self._home.clock.utc())
        return int(self._home.rows(query, values)[0][0])

    @property
    def dropped(self) -> int:
        """Entries that had to go since there were too many."""
        return self._home.counted(_DROPPED)


def _sent(connection: sqlite3.Connection, budget: Budget) -> int:
    query, values = _count_of(budget.whys, budget.since, budget.now)
    return int(connection.execute(query, values).fetchone()[0])


def _count_of(whys: tuple[str, ...], since: float, now: float) -> tuple[str, tuple[object, ...]]:
    """Return a query; entries of a clock that was ahead do not count until it is their time."""
    marks = ", ".join("?" * len(whys))
    query = f"SELECT COUNT(*) FROM egress WHERE why IN ({marks}) AND at > ? AND at <= ?"  # noqa: S608 - marks alone
    return query, (*whys, since, now + _AHEAD_S)
