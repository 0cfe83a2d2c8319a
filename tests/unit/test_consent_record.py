"""The record of consents: where any of its words was changed, by a bit or by a row, none allows anything."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from edgeinfer.cloud import Tensor
from edgeinfer.errors import StoreError
from edgeinfer.fallback import CacheLimits, QueueLimits
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.answers import RawAnswer
from edgeinfer.fallback.deferred import DeferredQueue
from edgeinfer.privacy import PURPOSES, Consents, Departure, EgressRecord, Sealer
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock

NOW, DEFERRED = PURPOSES
COLUMNS = ("id", "purpose", "granted", "version", "at", "digest")
COPY = "UPDATE consents SET ({0}) = (SELECT {0} FROM consents WHERE id = ?) WHERE id = ?"
OTHERS = ", ".join(COLUMNS[1:])


@pytest.fixture
def home(tmp_path):
    """A home whose user agreed to all, and took the first back."""
    with Home(tmp_path / "home", clock=FakeClock(1000.0)) as made:
        consents = Consents(made)
        consents.give(NOW, "1")
        made.clock.advance(1.5)
        consents.give(DEFERRED, "Fassung für Käufer")
        consents.withdraw(NOW)
        yield made


def with_a_flipped_bit(value: object, bit: int) -> object:
    """A value of a column with one other bit; text as its bytes."""
    if isinstance(value, str):
        data = bytearray(value.encode())
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)
    kind = "<d" if isinstance(value, float) else "<q"
    data = bytearray(struct.pack(kind, value))
    data[bit // 8] ^= 1 << bit % 8
    return struct.unpack(kind, data)[0]


def bits_of(value: object) -> int:
    return 8 * (len(value.encode()) if isinstance(value, str) else 8)


def keeps_nothing(home: Home) -> bool:
    """Whether all that needs a consent refuses with a StoreError, and leaves nothing."""
    cache = AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test")
    queue = DeferredQueue(home, QueueLimits(), "bundle", Sealer(bytes(32)))
    consents, record = Consents(home), EgressRecord(home)
    answer = RawAnswer({"y": np.zeros((1, 2), np.float32)}, "cloud", "v", "e")
    case = [Tensor("x", "FP32", np.zeros(3, np.float32))]
    sent = Departure("http://cloud.test", NOW, "mode", 3, "p", "b")
    for do in (
        consents.history,
        *(lambda each=each: consents.allows(each) for each in PURPOSES),
        *(lambda each=each: consents.last(each) for each in PURPOSES),
        lambda: cache.put("item", answer, "1"),
        lambda: queue.put(case, {"label": None}, "1"),
        lambda: record.begin(sent, (NOW, "1")),
        lambda: record.begin(sent, (DEFERRED, "Fassung für Käufer")),
    ):
        with pytest.raises(StoreError):
            do()
    tables = ("answers", "deferred", "egress")
    return all(home.rows(f"SELECT COUNT(*) FROM {table}") == [(0,)] for table in tables)


def history(home: Home) -> bool:
    """Whether the record is refused, asked in the shortest way."""
    with pytest.raises(StoreError):
        Consents(home).history()
    return True


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_flipped_bit_of_any_value_of_any_word_allows_nothing(home, row, column):
    ((value,),) = home.rows(f"SELECT {column} FROM consents WHERE id = ?", (row,))
    marks = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
    for bit in range(bits_of(value)):
        changed = with_a_flipped_bit(value, bit)
        if column == "id" and changed in (1, 2, 3):
            continue  # no two words have one number
        with home.transaction() as connection:
            connection.execute(f"UPDATE consents SET {column} = {marks} WHERE id = ?", (changed, row))
        assert (keeps_nothing if bit % 16 == 0 else history)(home)
        with home.transaction() as connection:
            back = changed if column == "id" else row
            connection.execute(f"UPDATE consents SET {column} = ? WHERE id = ?", (value, back))
    # What was put back is as good as never changed.
    assert Consents(home).allows(DEFERRED, "Fassung für Käufer")
    assert not Consents(home).allows(NOW)


def allowed(home: Home) -> bool:
    try:
        return Consents(home).allows(NOW)
    except StoreError:
        return False


@pytest.mark.parametrize(
    "gone", [each for size in (1, 2, 3) for each in combinations((1, 2, 3), size)], ids=str
)
def test_a_word_that_is_gone_never_makes_a_refusal_an_agreement(home, gone):
    with home.transaction() as connection:
        connection.executemany("DELETE FROM consents WHERE id = ?", [(each,) for each in gone])
    assert not allowed(home)


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("UPDATE consents SET granted = 1 WHERE id = ?", (3,)),
        ("UPDATE consents SET granted = 1, version = '1' WHERE id = ?", (3,)),
        (COPY.format(OTHERS), (1, 3)),
        (COPY.format("digest"), (1, 3)),
        ("UPDATE consents SET digest = upper(digest) WHERE id = ?", (1,)),
        ("UPDATE consents SET digest = '' WHERE id = ?", (1,)),
        ("UPDATE consents SET id = ? WHERE id = 3", (0,)),
        (f"INSERT INTO consents SELECT 4, {OTHERS} FROM consents WHERE id = ?", (1,)),
        (f"INSERT INTO consents SELECT 0, {OTHERS} FROM consents WHERE id = ?", (1,)),
        (f"INSERT INTO consents SELECT -1, {OTHERS} FROM consents WHERE id = ?", (1,)),
        ("INSERT INTO consents VALUES (?, 'cloud_inference', 1, '1', 1000.0, '')", (4,)),
        ("UPDATE consents SET id = id + ?", (10,)),
    ],
)
def test_a_word_that_was_changed_moved_copied_or_made_up_allows_nothing(home, statement, values):
    with home.transaction() as connection:
        assert connection.execute(statement, values).rowcount >= 1
    assert keeps_nothing(home)


def test_words_that_changed_places_allow_nothing(home):
    with home.transaction() as connection:
        for before, behind in ((1, 9), (3, 1), (9, 3)):
            connection.execute("UPDATE consents SET id = ? WHERE id = ?", (behind, before))
    assert keeps_nothing(home)


@pytest.mark.parametrize(
    "say", [lambda home: Consents(home).give(NOW, "1"), lambda home: Consents(home).withdraw(NOW)]
)
def test_a_further_word_does_not_heal_a_record_that_was_changed(home, say: Callable[[Home], None]):
    with home.transaction() as connection:
        connection.execute("UPDATE consents SET at = 0 WHERE id = 2")
    say(home)
    assert home.rows("SELECT MAX(id) FROM consents") == [(4,)]
    assert keeps_nothing(home)


def test_taking_it_back_erases_what_is_kept_also_where_the_record_was_changed(home):
    consents = Consents(home)
    consents.give(NOW, "1")
    cache = AnswerCache(home, CacheLimits(), "bundle", "http://cloud.test")
    cache.put("item", RawAnswer({"y": np.zeros((1, 2), np.float32)}, "cloud", "v", "e"), "1")
    with home.transaction() as connection:
        connection.execute("UPDATE consents SET version = '2' WHERE id = 1")
    assert cache.get("item", ("cloud",))
    consents.withdraw(NOW)
    assert cache.get("item", ("cloud",)) is None
    assert keeps_nothing(home)


def test_a_flipped_bit_of_the_record_s_page_never_makes_a_refusal_an_agreement(home, tmp_path):
    ((page,),) = home.rows("SELECT rootpage FROM sqlite_master WHERE name = 'consents'")
    home.close()
    whole = (home.folder / "home.db").read_bytes()
    start, end = (page - 1) * 4096, page * 4096
    # A page begins with 8 bytes about itself and where its rows lie; those stand at its end, the last one first.
    first, *others = (
        at for at in range(start, end) if whole.startswith((NOW.encode(), DEFERRED.encode()), at)
    )
    assert len(others) == 2
    flips = [(at, bit) for at in range(start, start + 14) for bit in range(8)]
    flips += [(at, at % 8) for at in range(first - 12, end)]
    (tmp_path / "flipped").mkdir()
    allowing = []
    for at, bit in flips:
        data = bytearray(whole)
        data[at] ^= 1 << bit
        (tmp_path / "flipped/home.db").write_bytes(data)
        try:
            with Home(tmp_path / "flipped") as flipped:
                if Consents(flipped).allows(NOW):
                    allowing.append((at - start, bit))
        except StoreError:
            continue
    assert allowing == []
