"""The one SQLite file of a device.

Invariants:
* a transaction is whole or not there, also when the process is killed within it;
* a durable one survives a loss of power once its block ended; others survive a kill of the process, and may be lost
  with the power;
* what was deleted is overwritten, and after `forget_deleted` no copy is left in the file or its log;
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
from weakref import WeakSet

from edgeinfer.errors import StoreError
from edgeinfer.host.clock import Clock, SystemClock
from edgeinfer.store.migrations import STEPS

_BUSY_MS, _AGAIN_MS = 250, 5
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
        self.clock: Clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        try:
            # A program may go to another folder later.
            self.folder = Path(folder).absolute()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"home {folder!r} cannot be made ({getattr(error, 'strerror', None) or error})",
                next_step="choose another folder",
            ) from error
        _homes.add(self)
        self.rows("SELECT 1")

    @contextmanager
    def transaction(
        self, *, durable: bool = False, patience_ms: int = _BUSY_MS
    ) -> Iterator[sqlite3.Connection]:
        """Write, all of a block or nothing.

        Args:
            patience_ms: How long to wait for another process that writes.
            durable: Whether it must survive a loss of power: it is flushed to the disk before the block ends.

        Raises:
            StoreError: The file is damaged, full, or was locked by another process for too long.
        """
        with self._lock, self._translated():
            connection = self._connected()
            connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            process = os.getpid()
            try:
                yield connection
                if process != os.getpid():
                    raise StoreError("this process was forked within a transaction, which is its parent's")
                connection.execute("COMMIT")
            except BaseException:
                if process == os.getpid():
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
            count(connection, name)

    def counted(self, name: str) -> int:
        """Return a counter's value."""
        found = self.rows("SELECT count FROM counters WHERE name = ?", (name,))
        return int(found[0][0]) if found else 0

    def forget_deleted(self) -> None:
        """Write the file anew without what was deleted: pages that were split may still hold copies.

        Raises:
            StoreError: Another process holds it for too long, or there is no room.
        """
        with self._lock, self._translated():
            connection = self._connected()
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise StoreError(
                    f"what was erased from {self.folder / _NAME} may still lie in its log",
                    next_step="close other programs that use this home, and take the consent back again",
                )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> sqlite3.Connection:
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
        # A damaged schema makes sqlite3 decode what is no text.
        except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
            raise StoreError(
                f"{self.folder / _NAME} cannot be used ({error})",
                next_step="free space, or move the file away: what was agreed to is then asked for again",
            ) from error


def count(connection: sqlite3.Connection, name: str, more: int = 1) -> None:
    """Add to a counter, within a transaction."""
    connection.execute(
        "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET count = count + ?2",
        (name, more),
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set what each connection needs, and bring the tables up to this release."""
    with suppress(PermissionError):  # of another user, or on a disk that is only read
        path.chmod(0o600)
    _write_ahead(connection)
    for setting in ("secure_delete = ON", "trusted_schema = OFF", "foreign_keys = ON"):
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


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; SQLite does not wait for others that do the same."""
    for attempt in range(_BUSY_MS // _AGAIN_MS + 1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if attempt == _BUSY_MS // _AGAIN_MS:
                raise
            threading.Event().wait(_AGAIN_MS / 1e3)
        else:
            return


def _release(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


class _Forking(threading.local):
    """The homes that the thread which forks holds still meanwhile."""

    def __init__(self) -> None:
        self.homes: list[Home] = []


def _after_fork(*, child: bool) -> None:
    for home in _forking.homes:
        if child and home._connection is not None:
            # SQLite forbids to close it here: it is the parent's.
            _of_the_parent.append(home._connection)
            home._connection = None
        home._lock.release()
    _forking.homes.clear()


def _about_to_fork() -> None:
    _forking.homes.extend(list(_homes))
    for home in _forking.homes:
        home._lock.acquire()


_homes: WeakSet[Home] = WeakSet()
_forking = _Forking()
_of_the_parent: list[sqlite3.Connection] = []
if hasattr(os, "register_at_fork"):
    # A child that is forked in the midst of a transaction would wait for its lock for ever.
    os.register_at_fork(
        before=_about_to_fork,
        after_in_parent=lambda: _after_fork(child=False),
        after_in_child=lambda: _after_fork(child=True),
    )
