"""Answers by the content of what was asked: the same item is not sent twice, and has an answer without a network.

Invariants:
* answers are found by a digest over the bundle and the prepared item; no input is kept;
* an answer is not used beyond its time, nor where the device's clock says that it is from the future;
* the cache is bounded in bytes: the oldest answers go;
* a call that may use the device alone is given answers of the device alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from edgeinfer.cloud.tensors import Array, Tensor, datatype_of
from edgeinfer.errors import StoreError
from edgeinfer.fallback.answers import Origin, RawAnswer
from edgeinfer.fallback.packing import pack, unpack
from edgeinfer.fallback.policy import CacheLimits
from edgeinfer.privacy import agreed
from edgeinfer.store import Home

# Clocks of two processes are read a moment apart.
_AHEAD_S = 60.0
# Keeping an answer is worth no more of a caller's time.
_HURRY_MS = 10


class AnswerCache:
    """The cache of one bundle in a home.

    Args:
        home: Where it is kept.
        limits: Its bounds.
        bundle: SHA-256 of the bundle.
        cloud: Where its answers from the cloud come from: those of another server are none.
    """

    def __init__(self, home: Home, limits: CacheLimits, bundle: str, cloud: str) -> None:
        self._home, self._limits = home, limits
        self._salt = f"{bundle}\0{cloud}\0".encode()

    def key(self, inputs: Mapping[str, Array]) -> str:
        """Return the digest of an item."""
        digest = hashlib.sha256(self._salt)
        for name in sorted(inputs):
            value = np.ascontiguousarray(inputs[name])
            digest.update(f"{name}\0{value.dtype}\0{value.shape}\0".encode())
            digest.update(value.tobytes())
        return digest.hexdigest()

    def get(self, key: str, origins: tuple[Origin, ...]) -> RawAnswer | None:
        """Return the answer for an item, if one of these origins lies there."""
        now = self._home.clock.utc()
        for origin, data in self._home.rows(
            "SELECT origin, data FROM answers WHERE key IN (?, ?) AND at BETWEEN ? AND ? ORDER BY origin",
            (*(f"{key}:{each}" for each in ("cloud", "device")), now - self._limits.ttl_s, now + _AHEAD_S),
        ):
            if origin not in origins:
                continue
            with suppress(StoreError, LookupError):
                tensors, about = unpack(data)
                return RawAnswer(
                    {each.name: each.value for each in tensors}, origin, about["variant"], about["engine"]
                )
        return None

    def put(self, key: str, answer: RawAnswer, version: str) -> None:
        """Keep an answer; what is too old goes, and the oldest beyond the bound.

        Args:
            key: Of the item.
            answer: Its answer.
            version: Of the text that the user must have agreed to at this moment for an answer from the cloud.
        """
        tensors = [Tensor(name, datatype_of(value.dtype), value) for name, value in answer.outputs.items()]
        data = pack(tensors, {"variant": answer.variant, "engine": answer.engine})
        if len(data) > self._limits.max_bytes:
            return
        with self._home.transaction(patience_ms=_HURRY_MS) as connection:
            now = self._home.clock.utc()
            if answer.origin == "cloud" and not agreed(connection, "cloud_inference", version):
                return
            connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (f"{key}:{answer.origin}", answer.origin, now, len(data), data),
            )
            connection.execute(
                "DELETE FROM answers WHERE at NOT BETWEEN ? AND ?", (now - self._limits.ttl_s, now + _AHEAD_S)
            )
            connection.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, "
                "SUM(bytes) OVER (ORDER BY at DESC, key) AS total FROM answers) WHERE total > ?)",
                (self._limits.max_bytes,),
            )
