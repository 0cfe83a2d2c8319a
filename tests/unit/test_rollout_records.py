"""Exposures and vetoes: once, durably, in their order, from several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import pytest
from home_programs import printed, program

from edgeinfer.errors import StoreError
from edgeinfer.rollout import Breach, Exposure, Exposures, Veto, Vetoes
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

A, B = "a" * 64, "b" * 64
ONE = Exposure("vision", "r1", "new", A)
BROKEN = Breach("not_finite", "outputs are NaN")
IMPORTS = "from edgeinfer.rollout import Breach, Exposure, Exposures, Vetoes\n"


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path, clock=FakeClock(1000.0)) as home:
        yield home


def test_an_exposure_is_noted_once_with_the_time_of_the_first(home):
    exposures = Exposures(home)
    assert exposures.note(ONE)
    home.clock.advance(60)
    assert not exposures.note(ONE)
    assert not Exposures(home).note(ONE), "another process, or the next start"
    assert exposures.entries() == [Exposure("vision", "r1", "new", A, 1000.0)]


def test_each_variant_rollout_family_and_digest_has_its_own(home):
    exposures = Exposures(home)
    others = [
        Exposure("vision", "r2", "new", A), Exposure("vision", "r1", "old", A),
        Exposure("sound", "r1", "new", A), Exposure("vision", "r1", "new", B), Exposure("vision", "", "", A),
    ]  # fmt: skip
    assert all(exposures.note(each) for each in [ONE, *others])
    assert len(exposures.entries()) == 6


def test_a_later_inference_does_no_io(home):
    exposures = Exposures(home)
    exposures.note(ONE)
    home.rows("DROP TABLE exposures")
    assert not exposures.note(ONE)


def test_what_cannot_be_noted_is_told_and_tried_again(home):
    exposures = Exposures(home)
    home.rows("ALTER TABLE exposures RENAME TO away")
    for _ in range(2):
        with pytest.raises(StoreError):
            exposures.note(ONE)
    home.rows("ALTER TABLE away RENAME TO exposures")
    assert exposures.note(ONE)


def test_threads_that_serve_at_once_note_it_once(home):
    exposures, told = Exposures(home), []
    threads = [
        threading.Thread(target=lambda: told.extend(exposures.note(ONE) for _ in range(20))) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert told.count(True) == 1
    assert len(told) == 160


def test_processes_that_serve_at_once_note_it_once(tmp_path):
    text = f"""
        {IMPORTS}
        home, told = Home(sys.argv[1]), 0
        for each in range(30):
            try:
                told += Exposures(home).note(Exposure("vision", str(each), "new", "{A}"))
            except StoreError:  # it was the other's turn for too long
                pass
        print(told)
    """
    workers = [
        subprocess.Popen([*program(text), str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    firsts = sum(int(each.communicate(timeout=60)[0]) for each in workers)
    with Home(tmp_path) as home:
        assert firsts == len(Exposures(home).entries()) > 0


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_what_was_noted_or_vetoed_survives_a_kill(tmp_path):
    text = f"""
        {IMPORTS}
        home = Home(sys.argv[1])
        Exposures(home).note(Exposure("vision", "r1", "new", "{A}"))
        Vetoes(home).add("{B}", Breach("errors", "3 of 3"), Exposure("vision", "r1", "new", "{B}"))
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    """
    done = subprocess.run([*program(text), str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    with Home(tmp_path) as home:
        assert {each.digest for each in Exposures(home).entries()} == {A, B}
        assert Vetoes(home).digests() == {B}


def test_a_veto_is_told_kept_and_lifted(home):
    vetoes = Vetoes(home)
    assert not vetoes.has(A)
    vetoes.add(A, BROKEN)
    again = Vetoes(home)
    assert vetoes.has(A)
    assert again.has(A)
    assert again.entries() == [Veto(A, "not_finite", "outputs are NaN", 1000.0)]
    assert again.digests() == {A}
    assert again.lift(A)
    assert not vetoes.has(A)
    assert not again.lift(A)


def test_the_first_reason_stays(home):
    vetoes = Vetoes(home)
    vetoes.add(A, BROKEN)
    home.clock.advance(5)
    vetoes.add(A, Breach("errors", "3 of 3"))
    vetoes.add(B, Breach("errors", "3 of 3"))
    assert [(each.digest, each.kind, each.at) for each in vetoes.entries()] == [
        (A, "not_finite", 1000.0), (B, "errors", 1005.0),
    ]  # fmt: skip


def test_the_exposure_is_there_with_the_veto_or_neither_is(home):
    vetoes = Vetoes(home)
    vetoes.add(A, BROKEN, ONE)
    assert [each.digest for each in Exposures(home).entries()] == [A]
    home.rows("DROP TABLE vetoes")
    with pytest.raises(StoreError):
        vetoes.add(B, BROKEN, Exposure("vision", "r1", "new", B))
    assert [each.digest for each in Exposures(home).entries()] == [A]


def test_a_veto_that_served_before_keeps_its_first_exposure(home):
    Exposures(home).note(ONE)
    home.clock.advance(60)
    Vetoes(home).add(A, BROKEN, ONE)
    assert [each.at for each in Exposures(home).entries()] == [1000.0]


def test_a_veto_that_cannot_be_written_holds_in_this_process(home):
    vetoes = Vetoes(home)
    home.rows("ALTER TABLE vetoes RENAME TO away")
    with pytest.raises(StoreError):
        vetoes.add(A, BROKEN)
    assert vetoes.has(A)
    home.rows("ALTER TABLE away RENAME TO vetoes")
    assert vetoes.digests() == {A}
    assert not Vetoes(home).has(A)
    vetoes.add(A, BROKEN)
    assert Vetoes(home).has(A)
    assert vetoes.lift(A)
    assert vetoes.digests() == frozenset()


def test_another_process_sees_a_veto(tmp_path):
    with Home(tmp_path) as home:
        Vetoes(home).add(A, BROKEN)
        assert printed(f"{IMPORTS}print(Vetoes(Home(sys.argv[1])).has('{A}'))", tmp_path) == ["True"]
