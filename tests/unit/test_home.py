"""home.db: whole transactions, threads, what is damaged, full, locked, or of a newer release."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from home_programs import printed, program

from edgeinfer.errors import StoreError
from edgeinfer.privacy import Consents, Departure, EgressRecord
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

ADD = "INSERT INTO counters VALUES (?, ?)"
SENT = Departure("http://cloud.test", "cloud_inference", "mode", 3, "p", "b")
posix = pytest.mark.skipif(os.name != "posix", reason="forks, limits and modes are POSIX's")


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as made:
        yield made


def names(home: Home) -> list[str]:
    return [name for (name,) in home.rows("SELECT name FROM counters ORDER BY name")]


def closed_file(folder: Path) -> Path:
    """A home that holds something of every kind, closed, as one file."""
    with Home(folder, clock=FakeClock()) as home:
        consents, record = Consents(home), EgressRecord(home)
        for _ in range(3):
            consents.give("cloud_inference")
            consents.withdraw("cloud_inference")
            record.end(record.begin(SENT), "ok")
            home.count("things")
    assert [path.name for path in folder.iterdir()] == ["home.db"]
    return folder / "home.db"


def used(folder: Path) -> None:
    """Do with a home what its users do."""
    with Home(folder, clock=FakeClock()) as home:
        consents, record = Consents(home), EgressRecord(home)
        for do, *values in (
            (consents.history,),
            (record.entries,),
            (record.sent_since, ("mode",), 0.0),
            (home.counted, "things"),
            (record.begin, SENT),
            (consents.withdraw, "cloud_inference"),
        ):
            with suppress(StoreError):
                do(*values)


def test_what_a_block_wrote_is_there_for_others_behind_it(home):
    with home.transaction() as connection:
        connection.execute(ADD, ("a", 1))
        connection.execute(ADD, ("b", 2))
        with Home(home.folder) as other:
            assert names(other) == []
    with Home(home.folder) as other:
        assert other.rows("SELECT name, count FROM counters WHERE count > ? ORDER BY name", (0,)) == [
            ("a", 1),
            ("b", 2),
        ]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, StoreError, SystemExit])
def test_a_block_that_raises_leaves_nothing(home, error, durable):
    def write() -> None:
        with home.transaction(durable=durable) as connection:
            connection.execute(ADD, ("a", 1))
            raise error("in the midst")

    with pytest.raises(error):
        write()
    home.count("b")
    assert names(home) == ["b"]


@pytest.mark.parametrize(
    "then", [(ADD, ("a", 1)), ("nonsense",), ("BEGIN",), ("INSERT INTO nowhere VALUES (1)",)]
)
def test_a_statement_that_fails_is_a_store_error_and_leaves_nothing(home, then):
    def write() -> None:
        with home.transaction() as connection:
            connection.execute(ADD, ("a", 1))
            connection.execute(*then)

    with pytest.raises(StoreError, match=r"home\.db cannot be used"):
        write()
    home.count("b")
    assert names(home) == ["b"]


def test_a_block_within_a_block_is_refused_and_both_leave_nothing(home):
    def write() -> None:
        with home.transaction() as outer, home.transaction() as inner:
            assert outer is not inner

    with pytest.raises(StoreError):
        write()
    home.count("c")
    assert names(home) == ["c"]


def test_a_counter_begins_at_none_counts_by_one_and_is_there_when_the_home_opens_again(home):
    assert home.counted("x") == 0
    for _ in range(3):
        home.count("x")
        home.close()
        home.close()
    home.count("y")
    assert (home.counted("x"), home.counted("y")) == (3, 1)


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_a_durable_block_is_flushed_and_others_are_not(home, durable, level):
    with home.transaction(durable=durable) as connection:
        # 1 is NORMAL: a write-ahead log is flushed with its checkpoints alone; 2 is FULL: with each commit.
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_a_home_stays_where_it_is_when_the_process_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Home("home") as home:
        home.count("x")
        home.close()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        assert home.counted("x") == 1


def test_threads_share_homes(home):
    with Home(home.folder) as other:

        def work(used: Home) -> None:
            for _ in range(25):
                used.count("x")

        threads = [threading.Thread(target=work, args=(each,)) for each in (home, other) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        assert home.counted("x") == 150


@pytest.mark.parametrize(
    "content",
    [random.Random(0).randbytes(8192), b"SQLite format 3\0" + bytes(4096), b"{}", b"SQLite format 3\0"],
    ids=["noise", "zeros behind a header", "another format", "a header alone"],
)
def test_a_file_that_is_no_database_is_a_store_error_that_names_it(tmp_path, content):
    (tmp_path / "home.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"home\.db cannot be used") as error:
        Home(tmp_path)
    assert "move the file away" in error.value.next_step


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_raises_store_errors_alone(tmp_path, share):
    file = closed_file(tmp_path / "home")
    os.truncate(file, int(file.stat().st_size * share))
    with suppress(StoreError):
        used(file.parent)
    with suppress(StoreError), Home(file.parent) as home:
        assert not Consents(home).allows("cloud_inference")


def test_a_damaged_file_raises_store_errors_alone(tmp_path):
    whole = closed_file(tmp_path / "whole").read_bytes()
    for seed in range(120):
        draw = random.Random(seed)
        data, folder = bytearray(whole), tmp_path / str(seed)
        at = draw.randrange(len(data)) if seed % 2 else draw.randrange(len(data) // 4096) * 4096
        length = draw.choice([1, 10, 1000])
        data[at : at + length] = draw.randbytes(len(data[at : at + length]))
        folder.mkdir()
        (folder / "home.db").write_bytes(data)
        with suppress(StoreError):
            used(folder)


def test_a_table_whose_description_is_no_text_is_a_store_error(tmp_path):
    file = closed_file(tmp_path / "home")
    data = file.read_bytes()
    assert data.count(b"CREATE TABLE answers") == 1
    file.write_bytes(data.replace(b"CREATE TABLE answers", b"CREATE \xc2ABLE answers"))
    with pytest.raises(StoreError):
        Home(file.parent)


def test_a_file_of_a_newer_release_is_refused_and_left_alone(tmp_path):
    file = closed_file(tmp_path / "home")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer edgeinfer") as error:
        Home(file.parent)
    assert (error.value.found, error.value.expected) == ("release 99 of its tables", "1 at most")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count FROM counters WHERE name = 'things'").fetchone() == (3,)
    connection.close()


@pytest.mark.parametrize(
    "where", ["a file", "a file/in it", "home.db is a folder", "/proc/nothing", "a\0b", "\ud800"]
)
def test_an_impossible_folder_is_a_store_error(tmp_path, where):
    (tmp_path / "a file").touch()
    (tmp_path / "home.db is a folder/home.db").mkdir(parents=True)
    with pytest.raises(StoreError):
        Home(where if where.startswith("/") else tmp_path / where)


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_may_not_be_written_is_a_store_error(there):
    text = """
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            Home(sys.argv[1])
        except StoreError:
            print("refused")
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if there:
            closed_file(folder).chmod(0o444)
        folder.chmod(0o555)
        try:
            assert printed(text, folder) == ["refused"]
        finally:
            folder.chmod(0o755)


def test_a_home_that_another_process_locks_is_a_store_error_soon_and_can_be_read(home):
    home.count("x")
    text = """
        import sqlite3
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [*program(text), str(home.folder / "home.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "locked\n"
        begun = time.perf_counter()
        with pytest.raises(StoreError, match="locked"):
            home.count("x")
        assert 0.2 < time.perf_counter() - begun < 2
        assert home.counted("x") == 1
        with Home(home.folder) as second:
            assert second.counted("x") == 1
        other.communicate(timeout=30)
    home.count("x")
    assert home.counted("x") == 2


@posix
@pytest.mark.parametrize("there", [False, True])
def test_nobody_else_may_read_it(tmp_path, there):
    before = os.umask(0)
    try:
        if there:
            closed_file(tmp_path / "new").chmod(0o666)
        with Home(tmp_path / "new") as home:
            home.count("x")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.folder.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("home.db", "home.db-wal", "home.db-shm"), 0o600)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@posix
def test_a_full_disk_is_a_store_error_and_what_was_there_stays(tmp_path):
    text = """
        import resource
        home = Home(sys.argv[1])
        home.count("before")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
        for durable in (False, True):
            try:
                with home.transaction(durable=durable) as connection:
                    for at in range(50):
                        connection.execute("INSERT INTO counters VALUES (?, 1)", (str(at) * 10_000,))
            except StoreError as error:
                print("refused", "home.db cannot be used" in str(error))
        print(home.rows("SELECT * FROM counters"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        home.count("after")
        print(home.rows("SELECT * FROM counters ORDER BY name"), home.rows("PRAGMA integrity_check"))
    """
    assert printed(text, tmp_path) == [
        "refused True",
        "refused True",
        "[('before', 1)]",
        "[('after', 1), ('before', 1)] [('ok',)]",
    ]
