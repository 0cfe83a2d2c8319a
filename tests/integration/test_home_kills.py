"""Processes that share a home, are forked with one, and are killed in the midst of writing to it."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from home_programs import printed, program

from edgeinfer.store import Home

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.name != "posix", reason="forks and SIGKILL are POSIX's"),
]
PARTS = 3
# Writes group after group of rows, each in one transaction, and tells of each behind it.
WRITER = """
    home, who, at = Home(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    part = "INSERT INTO deferred VALUES (?, ?, 0, 0, '', zeroblob(5000), 0)"
    total = "INSERT INTO counters VALUES ('groups', 1) ON CONFLICT DO UPDATE SET count = count + 1"
    while True:
        try:
            with home.transaction(durable=sys.argv[4] == "durable") as connection:
                for each in range(3):
                    connection.execute(part, (f"{who} {at} {each}", f"{who} {at}"))
                connection.execute(total)
        except StoreError:  # it was the other's turn for too long
            continue
        print(f"{who} {at}", flush=True)
        at += 1
"""
# Stops within a transaction whose pages no longer fit into memory.
HALFWAY = """
    with Home(sys.argv[1]).transaction(durable=True) as connection:
        for each in range(3):
            connection.execute("INSERT INTO deferred VALUES (?, 'half', 0, 0, '', randomblob(3000000), 0)", (each,))
            print("in the midst", flush=True)
        sys.stdin.read()
"""
OPENER = """
    print("now", flush=True)
    Home(sys.argv[1])
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(text: str, *values: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside; kill it in the end."""
    with subprocess.Popen(
        [*program(text), *map(str, values)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def groups(home: Home) -> set[str]:
    """The groups that are there; each must be whole, and all must be counted."""
    assert home.rows("PRAGMA integrity_check") == [("ok",)]
    found = Counter(
        group for (group,) in home.rows("SELECT bundle FROM deferred WHERE length(sealed) = 5000")
    )
    assert set(found.values()) <= {PARTS}
    assert home.counted("groups") == len(found)
    return set(found)


@pytest.mark.parametrize("durable", ["durable", "quick"])
def test_what_a_killed_process_said_is_there_and_nothing_is_half(tmp_path, durable):
    draw = random.Random(durable)
    home, told, unsaid = Home(tmp_path), set(), 0
    for turn in range(12):
        with running(WRITER, tmp_path, turn, 0, durable) as writer:
            told |= {writer.stdout.readline().strip() for _ in range(draw.randrange(1, 20))}
            for _ in range(draw.randrange(30_000)):  # up to a millisecond, in which it writes on
                pass
            writer.kill()
            told |= {line.strip() for line in writer.stdout}
        found = groups(home)
        assert told <= found
        # A process may be killed between its transaction and what it says of it.
        assert len(found - told) <= unsaid + 1
        unsaid = len(found - told)
    home.close()


def test_processes_that_write_at_once_may_be_killed_one_by_one(tmp_path):
    draw, home, told = random.Random(0), Home(tmp_path), set()
    for turn in range(4):
        values = {"quick": f"a{turn}", "durable": f"b{turn}"}
        one, two = (running(WRITER, tmp_path, who, 0, how) for how, who in values.items())
        with one as first, two as second:
            for victim in draw.sample([first, second], 2):
                told |= {victim.stdout.readline().strip() for _ in range(draw.randrange(1, 10))}
                victim.kill()
                told |= {line.strip() for line in victim.stdout}
        assert told <= groups(home)
    assert len(groups(home) - told) <= 8
    home.close()


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_process_killed_within_a_transaction_leaves_nothing_of_it_and_no_lock(tmp_path, parts):
    home = Home(tmp_path)
    home.count("before")
    for _ in range(2):
        with running(HALFWAY, tmp_path) as process:
            assert [process.stdout.readline() for _ in range(parts)] == ["in the midst\n"] * parts
            process.kill()
            process.wait(timeout=30)
            home.count("before")
    assert home.rows("SELECT COUNT(*) FROM deferred") == [(0,)]
    assert home.counted("before") == 3
    home.close()
    with Home(tmp_path) as again:
        assert again.rows("SELECT COUNT(*) FROM deferred") == [(0,)]
        assert again.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_process_killed_while_it_makes_a_home_leaves_one_that_opens(tmp_path):
    draw = random.Random(0)
    for turn in range(12):
        with running(OPENER, tmp_path / str(turn)) as process:
            assert process.stdout.readline() == "now\n"
            for _ in range(
                draw.randrange(300_000)
            ):  # up to some ten milliseconds, in which it makes the tables
                pass
            process.kill()
            process.wait(timeout=30)
        with Home(tmp_path / str(turn)) as home:
            home.count("x")
            assert home.counted("x") == 1
            assert home.rows("PRAGMA integrity_check") == [("ok",)]


def test_processes_share_a_home(tmp_path):
    text = """
        home = Home(sys.argv[1])
        for at in range(60):
            try:
                with home.transaction(durable=at % 10 == 0) as connection:
                    connection.execute("INSERT INTO counters VALUES (?, 1)", (f"{sys.argv[2]}-{at}",))
                print(f"{sys.argv[2]}-{at}")
            except StoreError:  # it was another's turn for too long
                pass
    """
    workers = [
        subprocess.Popen([*program(text), str(tmp_path), str(at)], stdout=subprocess.PIPE, text=True)
        for at in range(3)
    ]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert all(said)
    with Home(tmp_path) as home:
        found = [name for (name,) in home.rows("SELECT name FROM counters")]
    assert sorted(found) == sorted(name for each in said for name in each)


def test_processes_may_open_a_new_home_at_once(tmp_path):
    text = """
        for turn in range(40):
            folder, (gate, opener) = f"{sys.argv[1]}/{turn}", os.pipe()
            children = []
            for _ in range(5):
                children.append(os.fork())
                if not children[-1]:
                    os.close(opener)
                    os.read(gate, 1)
                    try:
                        Home(folder)
                    except BaseException as error:
                        print(error, flush=True)
                    os._exit(0)
            os.close(gate), os.close(opener)
            for child in children:
                os.waitpid(child, 0)
        print("over")
    """
    assert printed(text, tmp_path) == ["over"]


def test_a_forked_child_has_a_connection_of_its_own(tmp_path):
    text = """
        home = Home(sys.argv[1])
        home.count("x")
        child = os.fork()
        if not child:
            home.count("x")
            home.close()
            home.count("x")
            print(home.counted("x"), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        home.count("x")
        print(home.counted("x"), home.rows("PRAGMA integrity_check"))
    """
    assert printed(text, tmp_path) == ["3", "4 [('ok',)]"]


def test_a_child_may_be_forked_while_another_thread_writes(tmp_path):
    text = """
        import signal, threading
        home, over = Home(sys.argv[1]), threading.Event()
        def write():
            while not over.is_set():
                home.count("x")
        thread = threading.Thread(target=write)
        thread.start()
        for turn in range(30):
            child = os.fork()
            if not child:
                signal.alarm(5)
                home.rows("SELECT 1")
                os._exit(0)
            if os.waitpid(child, 0)[1]:
                print("a child hangs at turn", turn)
                break
        over.set()
        thread.join()
        print(home.counted("x") > 0, home.rows("PRAGMA integrity_check"))
    """
    assert printed(text, tmp_path) == ["True [('ok',)]"]


def test_a_child_that_ends_by_itself_leaves_the_home_of_its_parent_as_it_is(tmp_path):
    text = """
        import gc
        home, gone = Home(sys.argv[1]), Home(sys.argv[1] + "/gone")
        gone.count("x")
        del gone
        gc.collect()
        home.count("x")
        if not os.fork():
            home.count("x")
            sys.exit(0)  # and all that a program does at its end
        os.wait()
        with home.transaction(durable=True) as connection:
            connection.execute("INSERT INTO counters VALUES ('y', 1)")
        if not os.fork():
            sys.exit(0)
        os.wait()
        home.count("x")
        with Home(sys.argv[1]) as other:
            print(other.counted("x"), other.counted("y"), other.rows("PRAGMA integrity_check"))
        print(home.counted("x"), home.counted("y"))
    """
    assert printed(text, tmp_path) == ["3 1 [('ok',)]", "3 1"]


def test_a_child_that_is_forked_within_a_transaction_sees_nothing_of_it_and_leaves_it_whole(tmp_path):
    text = """
        home = Home(sys.argv[1])
        with home.transaction() as connection:
            connection.execute("INSERT INTO counters VALUES ('a', 1)")
            child = os.fork()
            if not child:
                print(home.rows("SELECT * FROM counters"), flush=True)
                try:
                    home.count("b")
                except StoreError as error:
                    print("locked" in str(error), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            connection.execute("INSERT INTO counters VALUES ('c', 1)")
        print(home.rows("SELECT * FROM counters"), home.rows("PRAGMA integrity_check"))
    """
    assert printed(text, tmp_path) == ["[]", "True", "[('a', 1), ('c', 1)] [('ok',)]"]


@pytest.mark.parametrize("end", ["pass", "raise SystemExit"])
def test_a_child_that_is_forked_within_a_transaction_ends_nothing_of_its_parent_s(tmp_path, end):
    text = f"""
        home, child = Home(sys.argv[1]), 1
        try:
            with home.transaction() as connection:
                connection.execute("INSERT INTO counters VALUES ('a', 1)")
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
                    with Home(sys.argv[1]) as other:
                        print(other.rows("SELECT * FROM counters"))
                    connection.execute("INSERT INTO counters VALUES ('c', 1)")
                else:
                    {end}
        finally:
            if not child:
                os._exit(0)
        print(home.rows("SELECT * FROM counters"), home.rows("PRAGMA integrity_check"))
    """
    assert printed(text, tmp_path) == ["[]", "[('a', 1), ('c', 1)] [('ok',)]"]


def test_threads_may_fork_at_once_while_another_writes(tmp_path):
    text = """
        import signal, threading
        home, over, failed = Home(sys.argv[1]), threading.Event(), []
        def write():
            while not over.is_set():
                home.count("x")
        def fork():
            for turn in range(20):
                child = os.fork()
                if not child:
                    signal.alarm(5)
                    home.rows("SELECT 1")
                    os._exit(0)
                if os.waitpid(child, 0)[1]:
                    failed.append(turn)
        threads = [threading.Thread(target=work, daemon=True) for work in (write, fork, fork, fork)]
        for each in threads:
            each.start()
        for each in threads[1:]:
            each.join(5)
        over.set()
        threads[0].join(1)
        print("hang:", sum(each.is_alive() for each in threads), "children:", failed, flush=True)
        os._exit(0)
    """
    assert printed(text, tmp_path) == ["hang: 0 children: []"]
