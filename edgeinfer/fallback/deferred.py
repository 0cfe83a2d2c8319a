"""Cases that wait for the cloud: sealed with the app's key, bounded, erased when they are too old or consent ends.

Invariants:
* without a key there is no queue; what lies there can be read with the key alone;
* a case holds what may be sent, reduced as it would be sent, and no more;
* a case is given to one process at a time; one that dies with it gives it back after a while;
* a case leaves when its answer was handed over, when it is too old, or when it can never be answered: each is counted.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any

from edgeinfer.cloud.tensors import Tensor
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.fallback.packing import pack, unpack
from edgeinfer.fallback.policy import QueueLimits
from edgeinfer.frozen import frozen
from edgeinfer.privacy import Purpose, Sealer, agreed
from edgeinfer.store import Home, count

# For so long a case is one process's; none may work on it for longer.
CLAIM_S = 120.0
_PURPOSES: tuple[Purpose, ...] = ("cloud_inference", "deferred_inference")


@frozen
class Waiting:
    """A case that waits.

    Attributes:
        id: Its number, which the prediction named.
        claim: When it was taken: whoever took it later has another.
        at: Since when, in seconds since 1970 by this device's clock.
        tensors: What is sent.
        about: What else its answer needs.
    """

    id: str
    claim: float
    at: float
    tensors: tuple[Tensor, ...]
    about: dict[str, Any]


class DeferredQueue:
    """The queue of one bundle in a home.

    Args:
        home: Where it is kept.
        limits: Its bounds.
        bundle: SHA-256 of the bundle; cases of another are left to it, but for those that are too old: it may be gone.
        sealer: The app's key.
    """

    def __init__(self, home: Home, limits: QueueLimits, bundle: str, sealer: Sealer) -> None:
        self._home, self._limits, self._bundle, self._sealer = home, limits, bundle, sealer

    def put(self, tensors: Sequence[Tensor], about: dict[str, Any], version: str) -> str | None:
        """Let a case wait; return its number, or None where the queue is at its bound.

        Args:
            tensors: What is sent.
            about: What else its answer needs.
            version: Of the texts that the user must have agreed to at this moment.

        Raises:
            PolicyError: The user does not agree any more.
            StoreError: It cannot be kept.
        """
        number = str(uuid.uuid4())
        sealed = self._sealer.seal(pack(tensors, about), self._about(number))
        with self._home.transaction(durable=True) as connection:
            now = self._home.clock.utc()
            for purpose in _PURPOSES:
                if not agreed(connection, purpose, version):
                    raise PolicyError("the user took the consent back", found=purpose)
            _drop_old(connection, now, self._limits)
            held = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM deferred").fetchone()[0]
            fits = held + len(sealed) <= self._limits.max_bytes
            if fits:
                connection.execute(
                    "INSERT INTO deferred VALUES (?, ?, ?, ?, ?, ?, 0)",
                    (number, self._bundle, now, len(sealed), self._sealer.key_id, sealed),
                )
            else:
                count(connection, "deferred.full", 1)
        return number if fits else None

    def claim(self) -> Waiting | None:
        """Take the oldest case that no other process works on, or None.

        Cases that cannot be opened are erased.
        """
        while True:
            with self._home.transaction() as connection:
                now = self._home.clock.utc()
                _drop_old(connection, now, self._limits)
                found = connection.execute(
                    "SELECT id, at, sealed FROM deferred WHERE bundle = ? AND key = ? "
                    "AND claimed NOT BETWEEN ? AND ? ORDER BY at, id LIMIT 1",
                    (self._bundle, self._sealer.key_id, now - CLAIM_S, now + CLAIM_S),
                ).fetchone()
                if found is None:
                    return None
                connection.execute("UPDATE deferred SET claimed = ? WHERE id = ?", (now, found[0]))
            number, at, sealed = found
            try:
                tensors, about = unpack(self._sealer.open(sealed, self._about(number)))
            except StoreError:
                self._erase(number, now, "deferred.damaged")
                continue
            return Waiting(number, now, at, tuple(tensors), about)

    def release(self, case: Waiting) -> None:
        """Give a case back: it waits on."""
        with self._home.transaction() as connection:
            connection.execute(
                "UPDATE deferred SET claimed = 0 WHERE id = ? AND claimed = ?", (case.id, case.claim)
            )

    def drop(self, case: Waiting, why: str) -> None:
        """Erase a case, and count why."""
        self._erase(case.id, case.claim, why)

    def _erase(self, number: str, claim: float, why: str) -> None:
        with self._home.transaction(durable=True) as connection:
            gone = connection.execute(
                "DELETE FROM deferred WHERE id = ? AND claimed = ?", (number, claim)
            ).rowcount
            if gone:
                count(connection, why, 1)

    def holds(self, case: Waiting) -> bool:
        """Whether a case still waits, and is still its taker's."""
        return bool(
            self._home.rows("SELECT 1 FROM deferred WHERE id = ? AND claimed = ?", (case.id, case.claim))
        )

    def expire(self) -> None:
        """Erase what has waited for too long."""
        expire(self._home, self._limits)

    def __len__(self) -> int:
        """Cases of this bundle and key that wait."""
        found = self._home.rows(
            "SELECT COUNT(*) FROM deferred WHERE bundle = ? AND key = ?", (self._bundle, self._sealer.key_id)
        )
        return int(found[0][0])

    def _about(self, number: str) -> bytes:
        return f"edgeinfer deferred {self._bundle} {number}".encode()


def expire(home: Home, limits: QueueLimits) -> None:
    """Erase what has waited for too long in a home, whoever's it is.

    Raises:
        StoreError: The home cannot be written.
    """
    if home.rows("SELECT 1 FROM deferred LIMIT 1"):
        with home.transaction(durable=True) as connection:
            _drop_old(connection, home.clock.utc(), limits)


def _drop_old(connection: sqlite3.Connection, now: float, limits: QueueLimits) -> None:
    """Erase what has waited for too long, of other bundles too, or would by a clock that was wrong."""
    gone = connection.execute(
        "DELETE FROM deferred WHERE at NOT BETWEEN ? AND ?", (now - limits.ttl_s, now + CLAIM_S)
    ).rowcount
    if gone:
        count(connection, "deferred.expired", gone)
