"""Cases that wait for the cloud: sealed with the app's key, bounded, erased when they are too old or consent ends.

Invariants:
* without a key there is no queue; what lies there can be read with the key alone;
* a case holds what may be sent, reduced as it would be sent, and no more;
* a case is given to one process at a time; one that dies with it gives it back after a while;
* a case leaves when its answer was handed over, when it is too old, or when it can never be answered: each is counted.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from edgeinfer.cloud.tensors import Tensor
from edgeinfer.errors import StoreError
from edgeinfer.fallback.packing import pack, unpack
from edgeinfer.fallback.policy import QueueLimits
from edgeinfer.frozen import frozen
from edgeinfer.privacy import Sealer
from edgeinfer.store import Home

_CLAIM_S = 120.0


@frozen
class Waiting:
    """A case that waits.

    Attributes:
        id: Its number, which the prediction named.
        at: Since when, in seconds since 1970 by this device's clock.
        tensors: What is sent.
        about: What else its answer needs.
    """

    id: str
    at: float
    tensors: tuple[Tensor, ...]
    about: dict[str, Any]


class DeferredQueue:
    """The queue of one bundle in a home.

    Args:
        home: Where it is kept.
        limits: Its bounds.
        bundle: SHA-256 of the bundle; cases of another are left to it.
        sealer: The app's key.
    """

    def __init__(self, home: Home, limits: QueueLimits, bundle: str, sealer: Sealer) -> None:
        self._home, self._limits, self._bundle, self._sealer = home, limits, bundle, sealer

    def put(self, tensors: Sequence[Tensor], about: dict[str, Any]) -> str | None:
        """Let a case wait; return its number, or None where the queue is at its bound.

        Raises:
            StoreError: It cannot be kept.
        """
        number = str(uuid.uuid4())
        sealed = self._sealer.seal(pack(tensors, about), self._about(number))
        now = self._home.clock.utc()
        with self._home.transaction(durable=True) as connection:
            self._drop_old(connection, now)
            held = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM deferred").fetchone()[0]
            fits = held + len(sealed) <= self._limits.max_bytes
            if fits:
                connection.execute(
                    "INSERT INTO deferred VALUES (?, ?, ?, ?, ?, ?, 0)",
                    (number, self._bundle, now, len(sealed), self._sealer.key_id, sealed),
                )
            else:
                _count(connection, "deferred.full", 1)
        return number if fits else None

    def claim(self) -> Waiting | None:
        """Take the oldest case that no other process works on, or None.

        Cases that cannot be opened are erased.
        """
        while True:
            now = self._home.clock.utc()
            with self._home.transaction() as connection:
                self._drop_old(connection, now)
                found = connection.execute(
                    "SELECT id, at, sealed FROM deferred WHERE bundle = ? AND key = ? AND claimed NOT BETWEEN ? AND ? "
                    "ORDER BY at, id LIMIT 1",
                    (self._bundle, self._sealer.key_id, now - _CLAIM_S, now),
                ).fetchone()
                if found is None:
                    return None
                connection.execute("UPDATE deferred SET claimed = ? WHERE id = ?", (now, found[0]))
            number, at, sealed = found
            try:
                tensors, about = unpack(self._sealer.open(sealed, self._about(number)))
            except StoreError:
                self.drop(number, "deferred.damaged")
                continue
            return Waiting(number, at, tuple(tensors), about)

    def release(self, number: str) -> None:
        """Give a case back: it waits on."""
        with self._home.transaction() as connection:
            connection.execute("UPDATE deferred SET claimed = 0 WHERE id = ?", (number,))

    def drop(self, number: str, why: str) -> None:
        """Erase a case, and count why."""
        with self._home.transaction(durable=True) as connection:
            connection.execute("DELETE FROM deferred WHERE id = ?", (number,))
            _count(connection, why, 1)

    def __len__(self) -> int:
        """Cases of this bundle and key that wait."""
        found = self._home.rows(
            "SELECT COUNT(*) FROM deferred WHERE bundle = ? AND key = ?", (self._bundle, self._sealer.key_id)
        )
        return int(found[0][0])

    def _drop_old(self, connection: Any, now: float) -> None:
        gone = connection.execute("DELETE FROM deferred WHERE at < ?", (now - self._limits.ttl_s,)).rowcount
        if gone:
            _count(connection, "deferred.expired", gone)

    def _about(self, number: str) -> bytes:
        return f"edgeinfer deferred {self._bundle} {number}".encode()


def _count(connection: Any, name: str, more: int) -> None:
    connection.execute(
        "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET count = count + ?2",
        (name, more),
    )
