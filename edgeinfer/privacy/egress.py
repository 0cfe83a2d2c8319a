"""The record of what left this device: when, where to, why, how much. Never what.

Invariants:
* a request that carries something of the user's is recorded, durably, before its first byte is sent: what cannot be
  recorded is not sent;
* no input, output, feature or credential is in it;
* it is bounded: the oldest entries go, and how many went is counted.
"""

from __future__ import annotations

from edgeinfer.errors import PolicyError
from edgeinfer.frozen import frozen
from edgeinfer.privacy.consent import Purpose, agreed
from edgeinfer.store import Home, count

_MOST = 100_000
_DROPPED = "egress.dropped"
_UNDER_WAY = "under way"


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


class EgressRecord:
    """The record of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def begin(self, departure: Departure, consent: tuple[Purpose, str] | None = None) -> int:
        """Note what is about to be sent; return its number.

        Args:
            departure: What.
            consent: The purpose, and the version of its text, that the user must have agreed to at this moment.

        Raises:
            PolicyError: The user does not agree any more: it must not be sent.
            StoreError: It cannot be noted: likewise.
        """
        with self._home.transaction(durable=True) as connection:
            one = departure
            if consent is not None and not agreed(connection, *consent):
                raise PolicyError("the user took the consent back", found=consent[0])
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
        with self._home.transaction() as connection:
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
        """Return how many were sent for one of these reasons since a time."""
        marks = ", ".join("?" * len(whys))
        found = self._home.rows(f"SELECT COUNT(*) FROM egress WHERE why IN ({marks}) AND at > ?", (*whys, at))  # noqa: S608
        return int(found[0][0])

    @property
    def dropped(self) -> int:
        """Entries that had to go since there were too many."""
        return self._home.counted(_DROPPED)
