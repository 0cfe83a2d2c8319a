"""A consent that another process takes back between any two steps: what was not yet kept or noted never is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from edgeinfer.cloud import Tensor
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.fallback import CacheLimits, QueueLimits
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.fallback.journal import Allowed, EgressJournal
from edgeinfer.privacy import PURPOSES, Consents, Departure, EgressRecord, Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

NOW, DEFERRED = PURPOSES
URL = "http://cloud.test"


def keep_an_answer(home: Home) -> None:
    answer = RawAnswer({"y": np.zeros((1, 2), np.float32)}, "cloud", "v", "e")
    AnswerCache(home, CacheLimits(), "bundle", URL).put("item", answer, "1")


def let_a_case_wait(home: Home) -> None:
    queue = DeferredQueue(home, QueueLimits(), "bundle", Sealer(bytes(32)))
    assert queue.put([Tensor("x", "FP32", np.zeros(3, np.float32))], {"label": None}, "1") is not None


def note_what_is_sent(home: Home) -> None:
    EgressRecord(home).begin(Departure(URL, NOW, "mode", 3, "p", "b"), (NOW, "1"))


def tell_the_journal(home: Home) -> None:
    EgressJournal(home, Allowed((NOW,), "1", "p", "b", "")).begin(URL, 3, "mode")


def tell_the_journal_of_a_case_that_waited(home: Home) -> None:
    EgressJournal(home, Allowed((DEFERRED,), "1", "p", "b", "")).begin(URL, 3, "deferred")


# What is done, where it is kept, the consent that is taken back, and whether to do it then raises.
STEPS = [
    (keep_an_answer, "answers", NOW, False),
    (let_a_case_wait, "deferred", NOW, True),
    (let_a_case_wait, "deferred", DEFERRED, True),
    (note_what_is_sent, "egress", NOW, True),
    (tell_the_journal, "egress", NOW, True),
    (tell_the_journal_of_a_case_that_waited, "egress", DEFERRED, True),
]
IDS = [f"{do.__name__}-{purpose}" for do, _, purpose, _ in STEPS]


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock(1000.0)) as made:
        for purpose in PURPOSES:
            Consents(made).give(purpose, "1")
        yield made


@pytest.fixture
def page(home):
    """The same home in another process, say that of a settings page; it does not wait for locks."""
    with Home(home.folder, clock=home.clock) as other:
        other.rows("PRAGMA busy_timeout = 0")
        yield other


def kept(home: Home, table: str) -> int:
    return int(home.rows(f"SELECT COUNT(*) FROM {table}")[0][0])


def told_of_steps(home: Home, meanwhile: Callable[[int], None]) -> None:
    """Call before each of a home's statements, with its number, until it is closed."""
    steps = iter(range(1000))
    with home.transaction() as connection:
        pass
    connection.set_trace_callback(lambda _statement: meanwhile(next(steps)))


def steps_of(home: Home, do: Callable[[Home], None]) -> int:
    """How many statements something takes."""
    seen: list[int] = []
    told_of_steps(home, seen.append)
    do(home)
    home.close()
    return len(seen)


@pytest.mark.parametrize(("do", "table", "purpose", "raises"), STEPS, ids=IDS)
def test_a_consent_that_was_taken_back_before_keeps_nothing(home, page, do, table, purpose, raises):
    do(home)
    assert kept(home, table) == 1
    Consents(page).withdraw(purpose)
    if raises:
        with pytest.raises(PolicyError, match="took the consent back") as error:
            do(home)
        assert error.value.found == purpose
    else:
        do(home)
    assert kept(home, table) == (table == "egress")  # what was sent before stays on the record


@pytest.mark.parametrize(("do", "table", "purpose", "raises"), STEPS, ids=IDS)
def test_a_consent_that_is_taken_back_between_two_steps_keeps_nothing(
    tmp_path, home, page, do, table, purpose, raises
):
    with Home(tmp_path / "measure", clock=home.clock) as measure:
        for each in PURPOSES:
            Consents(measure).give(each, "1")
        steps = steps_of(measure, do)
    assert steps >= 5, "a flush, its begin, the consent, what is kept, its end"
    outcomes = []
    for when in range(steps):
        for each in PURPOSES:
            Consents(home).give(each, "1")
        with home.transaction() as connection:
            connection.execute(f"DELETE FROM {table}")
        taken_back, asked = [], []

        def meanwhile(at: int, when=when, asked=asked, taken_back=taken_back) -> None:
            if at == when:
                asked.append(at)
                with suppress(StoreError):  # not within the other's transaction
                    Consents(page).withdraw(purpose)
                    taken_back.append(at)

        told_of_steps(home, meanwhile)
        refused = False
        try:
            do(home)
        except PolicyError:
            refused = True
        home.close()  # and with it what tells of steps
        assert asked == [when]
        # It was taken back and nothing is kept, or it could not be in that moment and what it allows is kept.
        assert Consents(home).allows(purpose) is not bool(taken_back)
        assert kept(home, table) == (0 if taken_back else 1)
        assert refused == (raises and bool(taken_back))
        outcomes.append(bool(taken_back))
    # Before the transaction it can be taken back, and within it no more.
    assert outcomes == sorted(outcomes, reverse=True)
    assert True in outcomes
    assert outcomes.count(False) >= 3


@pytest.mark.parametrize(("do", "table", "purpose", "_raises"), STEPS, ids=IDS)
def test_a_consent_that_is_given_again_allows_again(home, page, do, table, purpose, _raises):
    for kept_before in range(2):
        do(home)
        assert kept(home, table) == 1 + kept_before * (table == "egress")
        Consents(page).withdraw(purpose)
        assert kept(home, table) == (1 + kept_before) * (table == "egress")
        Consents(page).give(purpose, "1")
