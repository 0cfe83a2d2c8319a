"""Slots: what is tried in turn, commit and revert, two copies, damage, newer releases; loads and their deaths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from edgeinfer.errors import StoreError
from edgeinfer.host import FileLock, Surroundings
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock
from edgeinfer.updates.conditions import Conditions, obstacle
from edgeinfer.updates.loads import Loads
from edgeinfer.updates.slots import Slot, SlotFile, Slots, committed, families_in, restored, reverted, tried

A, B, C = (Slot(each * 64, "int8") for each in "abc")


@pytest.mark.parametrize(
    ("slots", "order"),
    [
        (Slots(), (None,)),
        (Slots(A), (A, None)),
        (Slots(A, B), (A, B, None)),
        (Slots(A, B, C), (C, A, B, None)),
        (Slots(None, B), (None, B)),
        (Slots(None, B, C), (C, None, B)),
    ],
)
def test_what_is_tried_in_turn_ends_with_what_came_with_the_app(slots, order):
    assert slots.order == order


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (Slots(A), lambda each: tried(each, B), Slots(A, None, B)),
        (Slots(A, None, B), lambda each: tried(each, C), Slots(A, None, C)),
        (Slots(A, None, B), lambda each: tried(each, A), Slots(A)),
        (Slots(A, C, B), committed, Slots(B, A)),
        (Slots(A, C), committed, Slots(A, C)),
        (Slots(A, C, B), lambda each: reverted(each, B.digest), Slots(A, C)),
        (Slots(A, C), lambda each: reverted(each, A.digest), Slots(C)),
        (Slots(A, C), lambda each: reverted(each, C.digest), Slots(A)),
        (Slots(A), lambda each: reverted(each, A.digest), Slots()),
        (Slots(A, B, C), lambda each: reverted(each, "d" * 64), Slots(A, B, C)),
        (Slots(A, B, C), restored, Slots(None, A)),
        (Slots(), restored, Slots()),
    ],
)
def test_changes_are_pure(before, change, after):
    assert change(before) == after


def test_slots_are_read_as_they_were_written(tmp_path):
    file = SlotFile(tmp_path / "slots", "vision", FakeClock())
    assert file.read() == Slots()
    file.change(lambda _: Slots(A, None, B))
    assert SlotFile(tmp_path / "slots", "vision", FakeClock()).read() == Slots(A, None, B)
    assert SlotFile(tmp_path / "slots", "speech", FakeClock()).read() == Slots()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff\xfe"])
def test_a_copy_that_is_damaged_gives_way_to_the_other(tmp_path, damage):
    file = SlotFile(tmp_path, "vision", FakeClock())
    file.change(lambda _: Slots(A, B))
    first, second = tmp_path / "vision.json", tmp_path / "vision.copy.json"
    whole = first.read_bytes()
    first.write_bytes(damage)
    assert file.read() == Slots(A, B)
    first.write_bytes(whole.replace(b"aaaa", b"cccc", 1))
    assert file.read() == Slots(A, B)
    second.write_bytes(damage)
    assert file.read() == Slots()


def test_slots_of_a_newer_release_are_told(tmp_path):
    (tmp_path / "vision.json").write_text(json.dumps({"format": 2, "new": True}))
    with pytest.raises(StoreError, match=r"newer edgeinfer.*pip install -U"):
        SlotFile(tmp_path, "vision", FakeClock()).read()


def test_slots_that_another_process_holds_are_waited_for_and_then_left(tmp_path):
    clock = FakeClock()
    file = SlotFile(tmp_path, "vision", clock)
    file.change(lambda _: Slots(A))
    with FileLock(tmp_path / "lock"), pytest.raises(StoreError):
        file.change(lambda _: Slots(B))
    assert file.read() == Slots(A)
    assert sum(clock.pauses) >= 2
    (tmp_path / ".vision.json.0123.partial").write_text("half")
    assert file.change(lambda slots: tried(slots, B)) == Slots(A, None, B)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", "vision.copy.json", "vision.json"]
    assert families_in(tmp_path) == ["vision"]


PROGRAM = """
import sys, time
from pathlib import Path
from edgeinfer.store import Home
from edgeinfer.updates.loads import Loads
folder, digest, states, end = sys.argv[1:]
loads = Loads(Home(folder), Path(folder) / "running")
load = loads.begin(digest)
for each in states.split(",") if states else ():
    getattr(load, each)()
print("there", flush=True)
if end == "kill":
    sys.stdin.read()
if end == "close":
    loads.close()
"""


def run(folder, digest, states, end):
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), digest, states, end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"there\n"
    if end == "kill":
        os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)


@pytest.mark.parametrize(
    ("states", "end", "died"),
    [
        ("", "kill", 1),
        ("", "leave", 0),
        ("", "close", 0),
        ("idle", "kill", 0),
        ("idle", "leave", 0),
        ("idle,busy", "kill", 1),
        ("idle,busy,answered", "kill", 0),
        ("end", "kill", 0),
    ],
)
def test_a_death_counts_only_where_it_came_before_the_first_answer(tmp_path, states, end, died):
    run(tmp_path, A.digest, states, end)
    loads = Loads(Home(tmp_path), tmp_path / "running")
    loads.bury()
    assert loads.deaths(A.digest) == died
    assert loads.held() == frozenset()
    assert list((tmp_path / "running").iterdir()) == []


def test_deaths_add_up_and_an_answer_takes_them_away(tmp_path):
    loads = Loads(Home(tmp_path), tmp_path / "running")
    for count in (1, 2):
        run(tmp_path, A.digest, "", "kill")
        loads.bury()
        assert loads.deaths(A.digest) == count
    loads.begin(A.digest).answered()
    assert loads.deaths(A.digest) == 0


def test_a_process_that_lives_is_not_buried(tmp_path):
    mine, other = (Loads(Home(tmp_path), tmp_path / "running") for _ in range(2))
    load = mine.begin(A.digest)
    other.bury()
    assert other.held() == {A.digest}
    assert other.deaths(A.digest) == 0
    load.end()
    assert other.held() == frozenset()


FORKING = """
import os, sys
from pathlib import Path
from edgeinfer.store import Home
from edgeinfer.updates import Loads
folder, mine, other = sys.argv[1:]
loads = Loads(Home(folder), Path(folder) / "running")
loads.begin(mine).answered()
child = os.fork()
if not child:
    loads.begin(other)
    os._exit(0)
os.waitpid(child, 0)
loads.bury()
print(loads.held() == {mine}, loads.deaths(other))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_that_was_forked_has_a_life_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path), A.digest, B.digest],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "True 1\n"


def test_good_answers_are_counted(tmp_path):
    loads = Loads(Home(tmp_path), tmp_path / "running")
    assert loads.good(A.digest) == 0
    assert [loads.count_good(A.digest), loads.count_good(A.digest, 3)] == [1, 4]
    assert Loads(Home(tmp_path), tmp_path / "running").good(A.digest) == 4
    loads.forget(A.digest)
    assert loads.good(A.digest) == 0


MUCH = 10**12


@pytest.mark.parametrize(
    ("conditions", "surroundings", "free", "why"),
    [
        (Conditions(), Surroundings(), MUCH, ""),
        (Conditions(), Surroundings(), None, ""),
        (Conditions(), Surroundings("none"), MUCH, "no network"),
        (Conditions(), Surroundings("metered"), MUCH, "metered"),
        (Conditions(unmetered=False), Surroundings("metered"), MUCH, ""),
        (Conditions(charging=True), Surroundings(charging=False), MUCH, "not charging"),
        (Conditions(charging=True), Surroundings(charging=None), MUCH, ""),
        (Conditions(), Surroundings(battery=0.1), MUCH, "battery is at 10%, below 15%"),
        (Conditions(), Surroundings(battery=0.1, charging=True), MUCH, ""),
        (Conditions(), Surroundings(battery=0.2, charging=False), MUCH, ""),
        (
            Conditions(spare_bytes=10),
            Surroundings(),
            109,
            "109 bytes are free, 100 are needed and 10 must stay",
        ),
        (Conditions(spare_bytes=10), Surroundings(), 110, ""),
    ],
)
def test_whether_now_is_the_time_to_fetch(conditions, surroundings, free, why):
    told = obstacle(conditions, surroundings, free, 100)
    assert (why in told) if why else not told
