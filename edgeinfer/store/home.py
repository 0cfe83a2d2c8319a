"""The one SQLite file of a device.

Invariants:
* a transaction is whole or not there, also when the process is killed within it;
* a durable one survives a loss of power once its block ended; others survive a kill of the process, and may be lost
  with the power;
* what was deleted is overwritten in the file;
* several threads and processes may share a home; a child that was forked opens its own connection;
* a file that is damaged, full, or of a newer release is a `StoreError`: whoever needs it to be allowed something is
  not allowed it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeinfer.errors import StoreError
from edgeinfer.host.clock import Clock, SystemClock
from edgeinfer.store.migrations import STEPS

_BUSY_MS = 250
_NAME = "home.db"


class Home:
    """What a device keeps, in a folder of the app's.

    Args:
        folder: The folder; made where it is not there, for this user alone.
        clock: The time.

    Raises:
        StoreError: The folder or its database cannot be used.
    """

    def __init__(self, folder: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self.folder = Path(folder)
        self.clock: Clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"home {self.folder} cannot be made ({error.strerror or error})",
                next_step="choose another folder",
            ) from error
        self.rows("SELECT 1")

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Write, all of a block or nothing.

        Args:
            durable: Whether it must survive a loss of power: it is flushed to the disk before the block ends.

        Raises:
            StoreError: The file is damaged, full, or was locked by another process for too long.
        """
        with self._lock, self._translated():
            connection = self._connected()
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds.

        Raises:
            StoreError: The file is damaged.
        """
        with self._lock, self._translated():
            return self._connected().execute(query, values).fetchall()

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1",
                (name,),
            )

    def counted(self, name: str) -> int:
        """Return a counter's value."""
        found = self.rows("SELECT count FROM counters WHERE name = ?", (name,))
        return int(found[0][0]) if found else 0

    def forget_deleted(self) -> None:
        """Empty the write-ahead log, which holds what the file held before."""
        with suppress(StoreError):
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                connection.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            # Transactions are begun and ended here alone.
            connection = sqlite3.connect(
                self.folder / _NAME,
                timeout=_BUSY_MS / 1e3,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _prepare(connection, self.folder / _NAME)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.folder / _NAME} cannot be used ({error})",
                next_step="free space, or move the file away: what was agreed to is then asked for again",
            ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set what each connection needs, and bring the tables up to this release."""
    path.chmod(0o600)
    for setting in ("journal_mode = WAL", "secure_delete = ON", "trusted_schema = OFF", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    if _release(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _release(connection)
        if found > len(STEPS):
            raise StoreError(
                f"{path} was made by a newer edgeinfer",
                found=f"release {found} of its tables",
                expected=f"{len(STEPS)} at most",
                next_step="pip install -U edgeinfer",
            )
        for step in STEPS[found:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _release(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
