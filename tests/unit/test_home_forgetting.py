"""What was deleted from a home is in none of its files, or it is said that it may be."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeinfer.errors import StoreError
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

ANSWER = "INSERT INTO answers VALUES (?, ?, 1.0, ?, ?)"
SECRET = b"<a secret of the user's>"


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as made:
        yield made


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def deleted(home: Home) -> None:
    """Keep something, and delete it: its pages may hold it still."""
    with home.transaction() as connection:
        connection.execute(ANSWER, ("key", "cloud", 1, SECRET * 500))
    with home.transaction() as connection:
        connection.execute("DELETE FROM answers")


@contextmanager
def used_by_another(home: Home, *statements: str) -> Iterator[None]:
    """Another program is in the midst of its use of a home."""
    other = sqlite3.connect(home.folder / "home.db", isolation_level=None)
    for each in statements:
        other.execute(each).fetchall()
    yield
    other.close()


@pytest.mark.parametrize("length", [20, 3000, 100_000])
def test_what_was_deleted_is_in_no_file_any_more(home, length):
    mark = b"<a secret of the user's>"
    with Home(home.folder) as idle, home.transaction() as connection:
        assert idle.counted("x") == 0
        connection.execute(ANSWER, ("key-of-a-secret", "cloud", length, mark * (length // len(mark) + 1)))
    assert mark in everything_in(home.folder)
    with home.transaction() as connection:
        connection.execute("DELETE FROM answers")
    home.forget_deleted()
    assert mark not in everything_in(home.folder)
    assert b"key-of-a-secret" not in everything_in(home.folder)


def test_what_was_deleted_among_many_is_in_no_file_any_more(home):
    draw = random.Random(0)
    for at in range(400):
        origin, length = draw.choice(["cloud", "device"]), draw.choice([50, 200, 600, 1500, 6000])
        mark = f"<{origin}-{at:04d}>".encode()
        with home.transaction() as connection:
            key = f"{draw.randbytes(16).hex()}:{origin}"
            connection.execute(ANSWER, (key, origin, length, mark * (length // len(mark))))
    with home.transaction() as connection:
        connection.execute("DELETE FROM answers WHERE origin = 'cloud'")
    home.forget_deleted()
    left = everything_in(home.folder)
    assert re.search(rb"<device-\d{4}>", left)
    assert sorted(set(re.findall(rb"<cloud-\d{4}>", left))) == []


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (("BEGIN", "SELECT * FROM answers"), "may still lie in its log"),
        (("BEGIN IMMEDIATE",), "locked"),
        (("BEGIN IMMEDIATE", "INSERT INTO counters VALUES ('theirs', 1)"), "locked"),
    ],
)
def test_what_cannot_be_written_anew_is_said_and_can_be_when_the_other_is_done(home, statements, message):
    deleted(home)
    with used_by_another(home, *statements), pytest.raises(StoreError, match=message) as error:
        home.forget_deleted()
    assert error.value.next_step
    # Nothing is lost by it, and it can be done again.
    home.count("x")
    assert home.rows("PRAGMA integrity_check") == [("ok",)]
    home.forget_deleted()
    assert SECRET not in everything_in(home.folder)
    assert home.rows("SELECT name, count FROM counters") == [("x", 1)]


def test_others_that_are_idle_do_not_hinder_it_and_go_on_behind_it(home):
    with Home(home.folder) as idle, used_by_another(home, "SELECT * FROM answers"):
        idle.count("x")
        deleted(home)
        home.forget_deleted()
        assert SECRET not in everything_in(home.folder)
        idle.count("x")
        assert (idle.counted("x"), home.counted("x")) == (2, 2)


def test_it_is_refused_within_a_transaction_which_leaves_nothing(home):
    def write() -> None:
        with home.transaction() as connection:
            connection.execute("INSERT INTO counters VALUES ('a', 1)")
            home.forget_deleted()

    with pytest.raises(StoreError, match="VACUUM"):
        write()
    home.count("b")
    assert home.rows("SELECT name FROM counters") == [("b",)]


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_where_there_is_no_room_it_is_said_and_what_is_kept_stays(tmp_path):
    text = """
        import resource, sys
        from edgeinfer.errors import StoreError
        from edgeinfer.store import Home
        home = Home(sys.argv[1])
        with home.transaction() as connection:
            for at in range(50):
                connection.execute("INSERT INTO counters VALUES (?, 1)", (str(at) * 10_000,))
        home.close()
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
        try:
            home.forget_deleted()
        except StoreError as error:
            print("refused", "home.db cannot be used" in str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        print(home.rows("SELECT COUNT(*) FROM counters"), home.rows("PRAGMA integrity_check"))
        home.forget_deleted()
        print(home.rows("SELECT COUNT(*) FROM counters"), home.rows("PRAGMA integrity_check"))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused True", *["[(50,)] [('ok',)]"] * 2]
