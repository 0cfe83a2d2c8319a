"""What a predictor tells of its requests, and keeps of its servers, in a home."""

from __future__ import annotations

import json
from contextlib import suppress

from edgeinfer.bundle import Dialect, decode, encode
from edgeinfer.cloud import Abilities
from edgeinfer.errors import CloudError, EdgeInferError, StoreError
from edgeinfer.fallback.deciding import ESCALATIONS
from edgeinfer.frozen import frozen
from edgeinfer.privacy import Budget, Departure, EgressRecord, Purpose
from edgeinfer.store import Home

# Questions about the server, which carry nothing of the user's.
_OF_THE_SERVER = ("metadata", "probe")
_KNOWN_S, HOUR_S = 86_400.0, 3600.0


@frozen
class Allowed:
    """What allows a call's requests.

    Attributes:
        purposes: What the user must have agreed to; the first stands in the record.
        version: To which text.
        policy: SHA-256 of the policy.
        bundle: SHA-256 of the bundle.
        reduced: What is taken from the input, in words.
        most_an_hour: Escalations that may be sent in an hour, where that is bounded.
    """

    purposes: tuple[Purpose, ...]
    version: str
    policy: str
    bundle: str
    reduced: str
    most_an_hour: int | None = None


class EgressJournal:
    """Records a call's requests; one that the user no longer agrees to is refused at the last moment.

    Args:
        home: Where consent and record are kept.
        allowed: What allows the requests.
    """

    def __init__(self, home: Home, allowed: Allowed) -> None:
        self._record, self._allowed, self._clock = EgressRecord(home), allowed, home.clock

    def begin(self, url: str, size: int, why: str) -> int:
        """Record a request.

        Raises:
            PolicyError: The user took the consent back, or the budget of escalations is spent.
            StoreError: It cannot be recorded: it must not be sent.
        """
        own = self._allowed
        if why in _OF_THE_SERVER:
            return self._record.begin(Departure(url, "server_metadata", why, size, own.policy, own.bundle))
        departure = Departure(url, own.purposes[0], why, size, own.policy, own.bundle, own.reduced)
        consents = [(purpose, own.version) for purpose in own.purposes]
        budget = None
        if own.most_an_hour is not None:
            now = self._clock.utc()
            budget = Budget(ESCALATIONS, now - HOUR_S, now, own.most_an_hour)
        return self._record.begin(departure, *consents, budget=budget)

    def end(self, number: int, outcome: str) -> None:
        """Record how it ended."""
        self._record.end(number, outcome)


class KnownServers:
    """What was found out of servers, for a day."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def get(self, server: str) -> Abilities | None:
        """Return what is known of a model's address, or None."""
        now = self._home.clock.utc()
        with suppress(StoreError):
            found = self._home.rows(
                "SELECT data FROM servers WHERE server = ? AND at BETWEEN ? AND ?",
                (server, now - _KNOWN_S, now),
            )
            with suppress(ValueError, RecursionError, EdgeInferError):
                if found:
                    # Of another release it may have other fields, and is as good as none.
                    dialect = Dialect(CloudError, forbid_unknown=True, next_step="")
                    return decode(Abilities, json.loads(found[0][0]), where="server", dialect=dialect)
        return None

    def put(self, server: str, abilities: Abilities | None) -> None:
        """Keep it, or forget it."""
        with suppress(StoreError), self._home.transaction() as connection:
            if abilities is None:
                connection.execute("DELETE FROM servers WHERE server = ?", (server,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO servers VALUES (?, ?, ?)",
                    (server, self._home.clock.utc(), json.dumps(encode(abilities))),
                )
