"""Consent: the last word counts, every word is kept, taking it back erases, what cannot be read allows nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edgeinfer.cloud import Tensor
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.fallback import CacheLimits, QueueLimits
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.privacy import PURPOSES, Consent, Consents, Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

NOW, DEFERRED = "cloud_inference", "deferred_inference"
OUTPUTS = {"y": np.zeros((1, 2), np.float32)}


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock(1000.0)) as made:
        yield made


@pytest.fixture
def kept(home):
    """A cache with an answer of each origin, and a queue with two cases, of two bundles: both are agreed to."""
    for purpose in PURPOSES:
        Consents(home).give(purpose)
    cache = AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test")
    for origin in ("device", "cloud"):
        cache.put("item", RawAnswer(OUTPUTS, origin, "v", "e"), "1")
    queues = [
        DeferredQueue(home, QueueLimits(), bundle, Sealer(bytes(32))) for bundle in ("bundle", "another")
    ]
    for each in queues:
        each.put([Tensor("x", "FP32", np.zeros(3, np.float32))], {"label": None}, "1")
    return cache, *queues


def left(kept) -> tuple[list[str], int]:
    """The origins of the answers that are left, and how many cases wait."""
    cache, *queues = kept
    return [o for o in ("device", "cloud") if cache.get("item", (o,))], sum(map(len, queues))


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ([], set()),
        ([("give", NOW)], {NOW}),
        ([("give", DEFERRED)], {DEFERRED}),
        ([("give", NOW), ("give", DEFERRED)], {NOW, DEFERRED}),
        ([("withdraw", NOW)], set()),
        ([("give", NOW), ("withdraw", NOW)], set()),
        ([("give", NOW), ("withdraw", DEFERRED)], {NOW}),
        ([("give", NOW), ("withdraw", NOW), ("give", NOW)], {NOW}),
        ([("give", NOW), ("give", NOW), ("withdraw", NOW)], set()),
    ],
)
def test_the_last_word_on_a_purpose_counts(home, said, allowed):
    consents = Consents(home)
    for how, purpose in said:
        getattr(consents, how)(purpose)
    assert {each for each in PURPOSES if consents.allows(each)} == allowed
    with Home(home.folder) as other:
        assert {each for each in PURPOSES if Consents(other).allows(each)} == allowed


@pytest.mark.parametrize(
    ("given", "asked", "allowed"),
    [
        (["1"], "1", True),
        (["1"], "2", False),
        (["1", "2"], "2", True),
        (["1", "2"], "1", False),
        (["2", "1"], "1", True),
        (["1"], "", False),
        (["1"], "1 ", False),
        (["Fassung für Käufer, 3"], "Fassung für Käufer, 3", True),
        (["v" * 100], "v" * 100, True),
    ],
)
def test_consent_holds_for_the_text_that_was_last_agreed_to(home, given, asked, allowed):
    consents = Consents(home)
    for version in given:
        consents.give(NOW, version)
    assert consents.allows(NOW, asked) is allowed


def test_every_word_is_kept_in_its_order_with_its_time_even_where_the_clock_goes_back(home):
    consents, clock = Consents(home), home.clock
    consents.give(NOW, "a")
    clock.set_utc(500.0)
    consents.withdraw(NOW)
    clock.set_utc(2000.0)
    consents.give(DEFERRED, "b")
    words = [
        Consent(NOW, True, "a", 1000.0),
        Consent(NOW, False, "", 500.0),
        Consent(DEFERRED, True, "b", 2000.0),
    ]
    assert consents.history() == words
    assert consents.history(NOW) == words[:2]
    assert consents.history(most=2) == words[1:]
    assert (consents.last(NOW), consents.last(DEFERRED)) == (words[1], words[2])
    assert not consents.allows(NOW, "a")


def test_without_a_word_there_is_no_last_one(home):
    consents = Consents(home)
    assert (consents.last(NOW), consents.history(), consents.history(NOW)) == (None, [], [])


@pytest.mark.parametrize(
    "purpose", ["", "cloud", "Cloud_inference", "cloud_inference ", None, 1, "server_metadata"]
)
def test_an_unknown_purpose_can_be_neither_given_nor_taken_back_nor_is_it_allowed(home, purpose):
    consents = Consents(home)
    for say in (consents.give, consents.withdraw):
        with pytest.raises(PolicyError, match="one of cloud_inference, deferred_inference"):
            say(purpose)
    assert not consents.allows(purpose or "nothing")
    assert consents.history() == []


@pytest.mark.parametrize("version", ["v" * 101, "1\n", "\x1b[2J", "\ud800", "\0"])
def test_a_version_that_no_text_has_is_refused(home, version):
    with pytest.raises(PolicyError, match="version of a consent"):
        Consents(home).give(NOW, version)
    assert Consents(home).history() == []


@pytest.mark.parametrize(("purpose", "rest"), [(NOW, (["device"], 0)), (DEFERRED, (["device", "cloud"], 0))])
def test_taking_it_back_erases_what_is_kept_under_it_and_nothing_else(home, kept, purpose, rest):
    assert left(kept) == (["device", "cloud"], 2)
    Consents(home).withdraw(purpose)
    assert left(kept) == rest
    assert home.rows("SELECT COUNT(*) FROM deferred") == [(0,)]


def test_giving_it_again_erases_nothing(home, kept):
    for each in PURPOSES:
        Consents(home).give(each)
        Consents(home).give(each, "2")
    assert left(kept) == (["device", "cloud"], 2)


@pytest.mark.parametrize("table", ["deferred", "answers"])
def test_what_cannot_be_erased_is_not_said_to_be_taken_back(home, kept, table):
    consents = Consents(home)
    said = consents.history()
    with home.transaction() as connection:
        connection.execute(
            f"CREATE TRIGGER stuck BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'stuck'); END"
        )
    with pytest.raises(StoreError, match="stuck"):
        consents.withdraw(NOW)
    assert consents.history() == said
    assert [each.granted for each in said] == [True, True]
    assert consents.allows(NOW)
    assert left(kept) == (["device", "cloud"], 2)


@pytest.mark.usefixtures("kept")
def test_nobody_sees_the_erasure_without_the_word_or_the_word_without_the_erasure(home):
    consents, seen = Consents(home), []
    with Home(home.folder) as other, home.transaction() as connection:
        # Told of each statement's rows: it looks from outside in the midst of the withdrawal.
        connection.create_function("look", 0, lambda: seen.append(looked(other)))
        for table in ("deferred", "answers"):
            connection.execute(
                f"CREATE TEMP TRIGGER {table}_1 AFTER DELETE ON {table} BEGIN SELECT look(); END"
            )
    with Home(home.folder) as other:
        consents.withdraw(NOW)
        assert seen == [(True, 2, 2)] * 3
        assert looked(other) == (False, 1, 0)


def looked(home: Home) -> tuple[bool, int, int]:
    counts = [home.rows(f"SELECT COUNT(*) FROM {table}")[0][0] for table in ("answers", "deferred")]
    return Consents(home).allows(NOW), counts[0], counts[1]


def test_answers_that_were_erased_are_in_no_file_any_more(home):
    mark = b"<what the cloud said of it>"
    cache = AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test")
    Consents(home).give(NOW)
    cache.put("item", RawAnswer(OUTPUTS, "cloud", mark.decode(), "e"), "1")
    assert any(mark in path.read_bytes() for path in home.folder.iterdir())
    Consents(home).withdraw(NOW)
    assert not any(mark in path.read_bytes() for path in home.folder.iterdir())


@pytest.mark.parametrize("damage", ["no table", "garbage"])
def test_a_home_that_cannot_be_read_allows_nothing(tmp_path, damage):
    home = Home(tmp_path)
    consents = Consents(home)
    consents.give(NOW)
    if damage == "no table":
        with home.transaction() as connection:
            connection.execute("DROP TABLE consents")
    home.close()
    if damage == "garbage":
        (tmp_path / "home.db").write_bytes(b"\xff" * 8192)
    for ask in (lambda: consents.allows(NOW), lambda: consents.last(NOW), consents.history):
        with pytest.raises(StoreError):
            ask()
    with pytest.raises(StoreError):
        consents.give(NOW)
    with pytest.raises(StoreError):
        consents.withdraw(NOW)
    home.close()


def test_what_cannot_be_recorded_was_not_given(home):
    consents = Consents(home)
    other = sqlite3.connect(home.folder / "home.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        consents.give(NOW)
    other.close()
    assert not consents.allows(NOW)
    consents.give(NOW)
    assert consents.allows(NOW)


def test_words_may_be_said_by_several_homes_in_turn(home):
    consents = Consents(home)
    with Home(home.folder, clock=home.clock) as other:
        for at in range(6):
            (consents, Consents(other))[at % 2].give(NOW, str(at))
        assert consents.history() == Consents(other).history()
    assert [each.version for each in consents.history()] == list("012345")
    assert home.rows("SELECT id FROM consents") == [(at,) for at in range(1, 7)]


@contextmanager
def read_by_another(home: Home) -> Iterator[None]:
    """Another program reads what was there before, and is not done."""
    other = sqlite3.connect(home.folder / "home.db", isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT COUNT(*) FROM deferred").fetchone() is not None
    yield
    other.close()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_may_still_lie_in_a_file_is_said_and_taking_it_back_again_erases_it(home, kept, purpose):
    consents = Consents(home)
    rest = {NOW: (["device"], 0), DEFERRED: (["device", "cloud"], 0)}[purpose]
    with read_by_another(home):
        with pytest.raises(StoreError, match="may still lie in its log") as error:
            consents.withdraw(purpose)
        assert "take the consent back again" in error.value.next_step
        # It is taken back all the same, and nobody is shown what was kept.
        assert not consents.allows(purpose)
        assert left(kept) == rest
    consents.withdraw(purpose)
    assert [each.granted for each in consents.history(purpose)] == [True, False, False]
    assert left(kept) == rest


def test_answers_that_another_program_still_reads_are_in_no_file_once_it_is_done(home):
    mark = b"<what the cloud said of it>"
    cache, consents = AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test"), Consents(home)
    consents.give(NOW)
    cache.put("item", RawAnswer(OUTPUTS, "cloud", mark.decode(), "e"), "1")
    with read_by_another(home), pytest.raises(StoreError):
        consents.withdraw(NOW)
    consents.withdraw(NOW)
    assert not any(mark in path.read_bytes() for path in home.folder.iterdir())
