"""The record of what left the device: noted before it is sent, bounded, and refused without consent."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from dataclasses import fields, replace
from importlib import import_module

import pytest

from edgeinfer.cloud import Abilities
from edgeinfer.cloud.metadata import ModelInfo, ServerInfo
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.fallback.journal import Allowed, EgressJournal, KnownServers
from edgeinfer.privacy import PURPOSES, Consents, Departure, EgressRecord
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

URL = "http://cloud.test/v2/models/m/infer"
SENT = Departure(URL, "cloud_inference", "low_confidence", 1234, "p" * 64, "b" * 64, "downscale 64")
ALLOWED = Allowed(("cloud_inference",), "2", "p" * 64, "b" * 64, "downscale 64")
DAY = 86_400.0


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock(1000.0)) as made:
        yield made


def sent(why: str) -> Departure:
    return Departure(URL, "cloud_inference", why, 1, "p", "b")


def test_an_entry_is_there_before_it_ends_and_says_how_it_ended_behind_it(home):
    record = EgressRecord(home)
    number = record.begin(SENT)
    expected = replace(SENT, at=1000.0, outcome="under way")
    with Home(home.folder) as other:
        assert EgressRecord(other).entries() == [expected]
    home.clock.advance(5)
    record.end(number, "status 200")
    (ended,) = record.entries()
    assert (ended.at, ended.outcome) == (1000.0, "status 200")
    assert {each.name: getattr(ended, each.name) for each in fields(ended)} == {
        **{each.name: getattr(expected, each.name) for each in fields(expected)},
        "outcome": "status 200",
    }


def test_the_time_and_the_outcome_are_the_record_s_own(home):
    EgressRecord(home).begin(Departure(URL, "cloud_inference", "mode", 1, "p", "b", "", 5.0, "status 200"))
    (entry,) = EgressRecord(home).entries()
    assert (entry.at, entry.outcome) == (1000.0, "under way")


def test_it_is_noted_durably(home):
    record, levels = EgressRecord(home), []
    with home.transaction() as connection:
        connection.create_function("look", 0, lambda: levels.append(level(connection)))
        connection.execute("CREATE TEMP TRIGGER looking AFTER INSERT ON egress BEGIN SELECT look(); END")
    record.begin(SENT)
    assert levels == [2]  # FULL: flushed before the block ends


def level(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA synchronous").fetchone()[0])


def test_entries_end_by_their_numbers_and_are_listed_with_the_latest_last(home):
    record = EgressRecord(home)
    numbers = [record.begin(sent(why)) for why in ("a", "b", "c")]
    assert len(set(numbers)) == 3
    record.end(numbers[1], "ok")
    record.end(12345, "of no entry")
    assert [(each.why, each.outcome) for each in record.entries()] == [
        ("a", "under way"),
        ("b", "ok"),
        ("c", "under way"),
    ]
    assert [each.why for each in record.entries(2)] == ["b", "c"]


@pytest.mark.parametrize(
    ("whys", "since", "count"),
    [
        (("mode",), 0.0, 2),
        (("mode",), 1000.0, 1),
        (("mode",), 999.9, 2),
        (("mode",), 1020.0, 0),
        (("mode", "load"), 0.0, 3),
        (("load",), 1005.0, 1),
        (("deadline",), 0.0, 0),
        ((), 0.0, 0),
        (("mode' OR 1=1 --",), 0.0, 0),
    ],
)
def test_what_was_sent_since_a_time_is_counted_by_its_reasons(home, whys, since, count):
    record = EgressRecord(home)
    for why in ("mode", "load", "mode", "probe"):  # at 1000, 1010, 1020 and 1030
        record.end(record.begin(sent(why)), "NetworkTimeoutError")
        home.clock.advance(10)
    assert record.sent_since(whys, since) == count


def test_the_oldest_go_where_there_are_too_many_and_how_many_went_is_counted(home, monkeypatch):
    record = EgressRecord(home)
    assert record.dropped == 0
    monkeypatch.setattr(import_module("edgeinfer.privacy.egress"), "_MOST", 3)
    for at in range(5):
        record.begin(sent(str(at)))
        assert (len(record.entries()), record.dropped) == (min(at + 1, 3), max(0, at - 2))
    assert [each.why for each in record.entries()] == ["2", "3", "4"]
    monkeypatch.setattr(import_module("edgeinfer.privacy.egress"), "_MOST", 1)
    record.begin(sent("5"))
    assert ([each.why for each in record.entries()], record.dropped) == (["5"], 5)


def test_numbers_are_not_used_again(home):
    record = EgressRecord(home)
    first = record.begin(sent("a"))
    with home.transaction() as connection:
        connection.execute("DELETE FROM egress")
    second = record.begin(sent("b"))
    record.end(first, "late")
    assert second > first
    assert [each.outcome for each in record.entries()] == ["under way"]


@pytest.mark.parametrize("damage", ["locked", "no table", "no counters"])
def test_what_cannot_be_noted_raises(home, monkeypatch, damage):
    record, journal = EgressRecord(home), EgressJournal(home, ALLOWED)
    Consents(home).give("cloud_inference", "2")
    other = sqlite3.connect(home.folder / "home.db", isolation_level=None)
    other.execute(
        {"locked": "BEGIN IMMEDIATE", "no table": "DROP TABLE egress"}.get(damage, "DROP TABLE counters")
    )
    if damage == "no counters":  # which are needed where an entry has to go
        monkeypatch.setattr(import_module("edgeinfer.privacy.egress"), "_MOST", 0)
    for begin in (lambda: record.begin(SENT), lambda: journal.begin(URL, 5, "mode")):
        with pytest.raises(StoreError):
            begin()
    other.close()
    if damage != "no table":
        assert record.entries() == []


def test_an_entry_of_a_process_that_was_killed_says_under_way(home):
    text = """
import sys
from edgeinfer.privacy import Departure, EgressRecord
from edgeinfer.store import Home
record = EgressRecord(Home(sys.argv[1]))
record.end(record.begin(Departure("http://a", "cloud_inference", "mode", 1, "p", "b")), "ok")
record.begin(Departure("http://b", "cloud_inference", "mode", 1, "p", "b"))
print("begun", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", text, str(home.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.kill()
        process.wait(timeout=30)
    told = [(each.destination, each.outcome) for each in EgressRecord(home).entries()]
    assert told == [("http://a", "ok"), ("http://b", "under way")]


def test_threads_get_numbers_of_their_own(home):
    record, numbers = EgressRecord(home), []

    def work(who: int) -> None:
        for at in range(10):
            number = record.begin(sent(f"{who} {at}"))
            record.end(number, f"{who} {at}")
            numbers.append(number)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(set(numbers)) == 40
    assert all(each.outcome == each.why for each in record.entries())


def test_a_journal_notes_what_allows_a_request(home):
    Consents(home).give("cloud_inference", "2")
    journal = EgressJournal(home, ALLOWED)
    journal.end(journal.begin(URL, 1234, "low_confidence"), "status 200")
    expected = replace(SENT, at=1000.0, outcome="status 200")
    assert EgressRecord(home).entries() == [expected]


@pytest.mark.parametrize(
    "said",
    [
        [],
        [("give", "cloud_inference", "1")],
        [("give", "deferred_inference", "2")],
        [("give", "cloud_inference", "2"), ("withdraw", "cloud_inference")],
        [("give", "cloud_inference", "2"), ("give", "cloud_inference", "3")],
    ],
)
@pytest.mark.parametrize("why", ["low_confidence", "mode", "deferred", "", "Probe", "metadata "])
def test_a_journal_refuses_what_the_user_does_not_agree_to_by_now(home, said, why):
    journal = EgressJournal(home, ALLOWED)
    for how, *values in said:
        getattr(Consents(home), how)(*values)
    with pytest.raises(PolicyError, match="cloud_inference"):
        journal.begin(URL, 1, why)
    assert EgressRecord(home).entries() == []


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    ("said", "agreed"),
    [
        ([], False),
        (["give 1"], False),
        (["give 2"], True),
        (["give 2", "withdraw"], False),
        (["give 2", "give 1"], False),
        (["give 1", "give 2"], True),
        (["give 2", "withdraw", "give 2"], True),
    ],
)
def test_it_notes_what_the_user_agrees_to_in_that_moment_and_refuses_all_else(home, purpose, said, agreed):
    record, consents = EgressRecord(home), Consents(home)
    (other,) = set(PURPOSES) - {purpose}
    consents.give(other, "2")
    for each in said:
        how, *version = each.split()
        getattr(consents, how)(purpose, *version)
    if agreed:
        assert record.begin(SENT, (purpose, "2")) == 1
    else:
        with pytest.raises(PolicyError, match="took the consent back") as error:
            record.begin(SENT, (purpose, "2"))
        assert error.value.found == purpose
    assert len(record.entries()) == agreed
    # What carries nothing of the user's needs none.
    assert record.begin(sent("probe")) == 1 + agreed


def test_what_is_refused_drives_nothing_out_of_the_record(home, monkeypatch):
    record = EgressRecord(home)
    monkeypatch.setattr(import_module("edgeinfer.privacy.egress"), "_MOST", 1)
    record.begin(sent("a"))
    with pytest.raises(PolicyError):
        record.begin(sent("b"), ("cloud_inference", "1"))
    assert ([each.why for each in record.entries()], record.dropped) == (["a"], 0)


def test_a_consent_that_is_taken_back_between_two_requests_stops_the_second(home):
    consents, journal = Consents(home), EgressJournal(home, ALLOWED)
    consents.give("cloud_inference", "2")
    journal.begin(URL, 1, "mode")
    with Home(home.folder) as other:  # a settings page in a process of its own, say
        Consents(other).withdraw("cloud_inference")
    with pytest.raises(PolicyError):
        journal.begin(URL, 1, "mode")
    assert len(EgressRecord(home).entries()) == 1


@pytest.mark.parametrize("why", ["metadata", "probe"])
def test_questions_about_the_server_need_no_consent_and_carry_nothing_that_was_reduced(home, why):
    EgressJournal(home, ALLOWED).begin(URL, 7, why)
    expected = Departure(URL, "server_metadata", why, 7, "p" * 64, "b" * 64, "", 1000.0, "under way")
    assert EgressRecord(home).entries() == [expected]


def abilities(name: str = "m") -> Abilities:
    return Abilities(ServerInfo("triton", "2.0", ("binary_tensor_data",)), ModelInfo(name, (), ()), True)


@pytest.mark.parametrize(("later", "known"), [(0.0, True), (DAY, True), (DAY + 1, False), (-1.0, False)])
def test_what_is_known_of_a_server_is_known_for_a_day(home, later, known):
    servers = KnownServers(home)
    servers.put(URL, abilities())
    home.clock.advance(later)
    assert servers.get(URL) == (abilities() if known else None)
    assert servers.get(URL + "/other") is None


def test_what_is_known_of_a_server_can_be_replaced_and_forgotten(home):
    servers = KnownServers(home)
    for name in ("m", "n"):
        servers.put(URL, abilities(name))
    assert servers.get(URL).model.name == "n"
    servers.put(URL, None)
    assert servers.get(URL) is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "{}", '{"server": 1}', '{"more": 1}', "[" * 100_000])
def test_what_is_known_and_damaged_is_as_good_as_none(home, data):
    servers = KnownServers(home)
    servers.put(URL, abilities())
    with home.transaction() as connection:
        connection.execute("UPDATE servers SET data = ?", (data,))
    assert servers.get(URL) is None
