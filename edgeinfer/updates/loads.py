"""Which process holds which bundle, and how far it came with it.

Invariants:
* a process that ends, however it does, holds nothing any more: the system gives back its lock;
* a death counts against a bundle only where it came while the bundle was being loaded, or computed its first answer: an
  app that was closed meanwhile, or that died later, does not count;
* an answer takes away what counted against it.
"""

from __future__ import annotations

import atexit
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from edgeinfer.errors import StoreError
from edgeinfer.host import FileLock
from edgeinfer.store import Home
from edgeinfer.updates.bundle_store import storing

_BUSY, _IDLE, _ANSWERED = "busy", "idle", "answered"


class Loads:
    """The loads of a home's bundles; each process has one.

    Args:
        home: The device's.
        folder: Where processes show that they live; made where it is not there.

    Raises:
        StoreError: The folder cannot be made.
    """

    def __init__(self, home: Home, folder: Path) -> None:
        self._home, self._folder = home, folder
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._process = 0
        self._owner, self._lock = "", FileLock(folder)

    def begin(self, digest: str) -> Load:
        """Say that a bundle is being loaded.

        Raises:
            StoreError: It cannot be written: the bundle must not be tried then.
        """
        owner = self._alive()
        load = Load(self._home, owner, digest)
        load.busy()
        return load

    def bury(self) -> None:
        """Count the deaths of processes that are gone, and forget what they held.

        Raises:
            StoreError: It cannot be read or written.
        """
        known = {owner for (owner,) in self._home.rows("SELECT DISTINCT owner FROM loads")}
        with storing(self._folder):
            known.update(each.name for each in self._folder.iterdir())
        for owner in known - {self._owner}:
            if self._is_gone(owner):
                with self._home.transaction(durable=True) as connection:
                    _count_deaths(connection, owner)
                    connection.execute("DELETE FROM loads WHERE owner = ?", (owner,))
                with suppress(OSError):
                    (self._folder / owner).unlink()

    def held(self) -> frozenset[str]:
        """Return the digests that processes hold; raises as `bury` does."""
        return frozenset(digest for (digest,) in self._home.rows("SELECT DISTINCT digest FROM loads"))

    def deaths(self, digest: str) -> int:
        """Return how often a process died with a bundle before it answered; raises as `bury` does."""
        found = self._home.rows("SELECT died FROM trials WHERE digest = ?", (digest,))
        return int(found[0][0]) if found else 0

    def good(self, digest: str) -> int:
        """Return how many good answers of a bundle were counted; raises as `bury` does."""
        found = self._home.rows("SELECT good FROM trials WHERE digest = ?", (digest,))
        return int(found[0][0]) if found else 0

    def count_good(self, digest: str, more: int = 1) -> int:
        """Count good answers of a bundle, and return how many there were; raises as `bury` does."""
        with self._home.transaction() as connection:
            _count(connection, digest, good=more)
        return self.good(digest)

    def forget(self, digest: str) -> None:
        """Begin the count for a bundle anew; raises as `bury` does."""
        with self._home.transaction() as connection:
            connection.execute("DELETE FROM trials WHERE digest = ?", (digest,))

    def close(self) -> None:
        """Hold nothing any more; the end of the process does the same."""
        if self._process == os.getpid() and self._owner:
            atexit.unregister(self.close)
            with suppress(StoreError), self._home.transaction() as connection:
                connection.execute("DELETE FROM loads WHERE owner = ?", (self._owner,))
            self._lock.__exit__(None, None, None)
            with suppress(OSError):
                (self._folder / self._owner).unlink()
        self._process, self._owner = 0, ""

    def _alive(self) -> str:
        """Return this process's name, under which it shows that it lives."""
        if self._process != os.getpid():  # a child that was forked has a life of its own
            owner = secrets.token_hex(16)
            lock = FileLock(self._folder / owner)
            with storing(self._folder):
                lock.__enter__()
            self._process, self._owner, self._lock = os.getpid(), owner, lock
            atexit.register(self.close)
        return self._owner

    def _is_gone(self, owner: str) -> bool:
        with storing(self._folder):
            try:
                with FileLock(self._folder / owner):
                    return True
            except BlockingIOError:
                return False


class Load:
    """A bundle that a process holds. Made by `Loads.begin`; its methods raise `StoreError` where they cannot write."""

    def __init__(self, home: Home, owner: str, digest: str) -> None:
        self._home, self._owner, self.digest = home, owner, digest

    def busy(self) -> None:
        """Something begins that may end the process."""
        self._is(_BUSY)

    def idle(self) -> None:
        """It went well, and nothing goes on."""
        self._is(_IDLE)

    def answered(self) -> None:
        """It gave an answer: what counted against it is forgotten."""
        self._is(_ANSWERED)
        with self._home.transaction() as connection:
            connection.execute("UPDATE trials SET died = 0 WHERE digest = ?", (self.digest,))

    def end(self) -> None:
        """It is not held any more."""
        with self._home.transaction() as connection:
            connection.execute("DELETE FROM loads WHERE owner = ? AND digest = ?", (self._owner, self.digest))

    def _is(self, state: str) -> None:
        with self._home.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO loads VALUES (?, ?, ?)", (self._owner, self.digest, state)
            )


def _count_deaths(connection: sqlite3.Connection, owner: str) -> None:
    busy = connection.execute("SELECT digest FROM loads WHERE owner = ? AND state = ?", (owner, _BUSY))
    for (digest,) in busy.fetchall():
        _count(connection, digest, died=1)


def _count(connection: sqlite3.Connection, digest: str, *, good: int = 0, died: int = 0) -> None:
    connection.execute(
        "INSERT INTO trials VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO UPDATE SET good = good + ?2, died = died + ?3",
        (digest, good, died),
    )
