"""`edgeinfer gold`: versions that only grow, whatever is done to the folder meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.gold.command import gold
from converters.gold.journal import digest_of, line_of, parse_journal, set_at, set_digest, spell_time
from converters.gold.store import ITEMS, JOURNAL, Offered, add, open_set, read_versions
from edgeinfer.errors import DataError, EdgeInferError
from edgeinfer.host import FileLock

AT = "2026-11-20T09:00:00Z"


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(gold, [*map(str, arguments)])
    if isinstance(done.exception, EdgeInferError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def offer(name: str, label: str, content: bytes) -> Offered:
    return Offered(name, label, lambda: content)


@pytest.fixture
def folder(tmp_path):
    """Two versions: three items, then one more and one relabelled."""
    place = tmp_path / "gold"
    add(place, [offer(f"{name}.txt", "a", name.encode()) for name in "xyz"], by="anna", at=AT)
    later = [offer("y.txt", "b", b"y"), offer("w.txt", "b", b"w")]
    add(place, later, by="bert", at="2026-11-21T09:00:00Z", relabel=True)
    return place


def labels(place: Path, version: int | None = None) -> dict[str, str]:
    return {entry.item.name: entry.item.label for entry in open_set(place, version).entries.values()}


def test_a_version_is_what_was_said_up_to_it(folder):
    assert labels(folder, 1) == {"x.txt": "a", "y.txt": "a", "z.txt": "a"}
    assert labels(folder) == labels(folder, 2) == {"x.txt": "a", "y.txt": "b", "z.txt": "a", "w.txt": "b"}
    entries = open_set(folder).entries
    y = entries[digest_of(b"y")]
    assert (y.by, y.at, y.version) == ("bert", "2026-11-21T09:00:00Z", 2)
    assert entries[digest_of(b"x")].by == "anna"
    assert open_set(folder).read(y) == b"y"
    assert read_versions(folder)[0].items[0].label == "a", "what was said before is kept"
    for wrong in (0, 3, -1):
        with pytest.raises(DataError, match=f"has no version {wrong}: expected 1 to 2"):
            open_set(folder, wrong)


def test_the_digest_names_items_and_labels_and_nothing_else(folder, tmp_path):
    first = open_set(folder, 1).digest
    assert first != open_set(folder, 2).digest
    other = tmp_path / "other"
    for name in "zxy":
        add(other, [offer(f"of-{name}.bin", "a", name.encode())], by="carl", at="2020-01-01T00:00:00Z")
    assert open_set(other).digest == first
    assert first == digest_of(
        json.dumps(
            dict(sorted((digest_of(name.encode()), "a") for name in "xyz")), separators=(",", ":")
        ).encode()
    )


def test_what_is_there_already_makes_no_version(folder):
    done = add(folder, [offer("again.txt", "a", b"x"), offer("z.txt", "a", b"z")], by="carl", at=AT)
    assert (done.version, done.new, done.relabelled, done.known, done.total) == (2, 0, 0, 2, 4)
    twice = [offer("v.txt", "a", b"v"), offer("also-v.txt", "a", b"v")]
    done = add(folder, twice, by="carl", at=AT)
    assert (done.version, done.new, done.known, done.total) == (3, 1, 1, 5)
    assert len(list((folder / ITEMS).iterdir())) == 5


def test_another_label_must_be_meant(folder):
    before = (folder / JOURNAL).read_bytes()
    with pytest.raises(DataError) as caught:
        add(folder, [offer("new.txt", "a", b"new"), offer("x.txt", "b", b"x")], by="carl", at=AT)
    assert "expected 'a', by anna at 2026-11-20T09:00:00Z, found 'b'; give --relabel" in str(caught.value)
    with pytest.raises(DataError, match=r"p.txt and q.txt are one item with two labels"):
        add(folder, [offer("p.txt", "a", b"p"), offer("q.txt", "b", b"p")], by="carl", at=AT, relabel=True)
    assert (folder / JOURNAL).read_bytes() == before
    assert len(open_set(folder).entries) == 4


@pytest.mark.parametrize(
    ("label", "by"),
    [
        ("", "anna"),
        (" a", "anna"),
        ("a\nb", "anna"),
        ("\x1b[2J", "anna"),
        ("a" * 101, "anna"),
        ("a", ""),
        ("a", "x\ty"),
    ],
)
def test_labels_and_names_that_cannot_be_told_apart_are_refused(tmp_path, label, by):
    with pytest.raises(DataError, match="1 to 100 printable characters"):
        add(tmp_path / "g", [offer("x.txt", label, b"x")], by=by, at=AT)


def test_times_are_stated_in_utc():
    now = datetime(2026, 11, 23, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=2)))
    assert spell_time(None, now) == "2026-11-23T02:05:06Z"
    assert spell_time("2026-11-20T10:00:00+01:00", now) == "2026-11-20T09:00:00Z"
    for wrong in ("yesterday", "2026-11-20T10:00:00", "2026-13-01T00:00:00Z", ""):
        with pytest.raises(DataError, match="ISO 8601 with an offset"):
            spell_time(wrong, datetime.now(UTC))


@pytest.fixture(scope="module")
def journal(tmp_path_factory) -> bytes:
    place = tmp_path_factory.mktemp("law") / "gold"
    add(place, [offer("x.txt", "a", b"x"), offer("y.png.txt", "a", b"y")], by="anna", at=AT)
    add(place, [offer("y.txt", "b", b"y")], by="bert", at=AT, relabel=True)
    add(place, [offer("z.txt", "b", b"z")], by="bert", at=AT)
    return (place / JOURNAL).read_bytes()


def test_a_journal_is_its_own_spelling(journal):
    assert b"".join(line_of(version) for version in parse_journal(journal, "j")) == journal


def test_a_cut_journal_is_refused_or_is_an_earlier_one(journal):
    ends = [at + 1 for at, byte in enumerate(journal) if byte == ord("\n")]
    for end in range(len(journal) + 1):
        if end in ends:
            assert len(parse_journal(journal[:end], "j")) == ends.index(end) + 1
        else:
            with pytest.raises(DataError, match=r"j( line \d)? is damaged"):
                parse_journal(journal[:end], "j")


@settings(max_examples=300)
@given(data=st.data())
def test_any_changed_byte_of_an_earlier_line_is_noticed(journal, data):
    changed = bytearray(journal)
    last = journal.rindex(b"\n", 0, len(journal) - 1)
    at = data.draw(st.integers(0, last))
    changed[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != journal[at]))
    with pytest.raises(DataError):
        parse_journal(bytes(changed), "j")


@settings(max_examples=300)
@given(data=st.data())
def test_any_bytes_are_a_journal_or_a_data_error(journal, data):
    changed = bytearray(journal)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(journal) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        versions = parse_journal(bytes(changed), "j")
    except DataError:
        return
    set_digest(set_at(versions, len(versions)))


def test_a_file_that_climbs_out_is_refused(journal):
    hostile = journal.splitlines(keepends=True)[0].replace(
        digest_of(b"x").encode(), b"../" * 10 + b"etc/passwd"
    )
    with pytest.raises(DataError, match="is damaged: found file"):
        parse_journal(hostile, "j")


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from converters.gold.store import Offered, add
renames = 0
def kill_at(event, arguments):
    global renames
    if event in ("os.rename", "os.mkdir"):
        renames += 1
        if renames == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
offered = [Offered(f"{at}.txt", "a", lambda at=at: b"item %d" % at) for at in range(3)]
sys.addaudithook(kill_at)
add(Path(sys.argv[1]), offered, by="carl", at="2026-11-22T09:00:00Z")
"""


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_a_kill_leaves_the_set_as_it_was_and_adding_again_completes_it(folder, at):
    before = open_set(folder).digest
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(folder), str(at), root],
        timeout=60,
        check=False,
        capture_output=True,
    )
    # One folder that is there already, three items, the journal: five places to be killed at.
    assert done.returncode == (-9 if at <= 5 else 0), done.stderr.decode()
    assert (open_set(folder).digest == before) == (at <= 5)
    offered = [offer(f"{each}.txt", "a", b"item %d" % each) for each in range(3)]
    done = add(folder, offered, by="carl", at=AT)
    assert (done.version, done.total) == (3, 7)
    for entry in open_set(folder).entries.values():
        open_set(folder).read(entry)


def test_two_cannot_add_at_once(folder):
    with FileLock(folder / "lock"), pytest.raises(DataError, match="another process is adding"):
        add(folder, [offer("v.txt", "a", b"v")], by="carl", at=AT)
    assert len(open_set(folder).entries) == 4


def test_a_lost_or_changed_item_is_named_and_mended_by_adding_it_again(folder):
    x, y = (open_set(folder).entries[digest_of(content)] for content in (b"x", b"y"))
    (folder / ITEMS / x.item.file).unlink()
    (folder / ITEMS / y.item.file).write_bytes(b"?")
    for entry, found in ((x, "nothing readable"), (y, "other content")):
        with pytest.raises(DataError, match=f"is damaged or lost: expected .*, found {found}"):
            open_set(folder).read(entry)
    add(folder, [offer("x.txt", "b", b"x"), offer("y.txt", "a", b"y")], by="anna", at=AT, relabel=True)
    assert [open_set(folder).read(entry) for entry in (x, y)] == [b"x", b"y"]


def test_add_list_and_eval_as_a_person_does(tmp_path, threshold_bundle, grey, grey_levels):
    place, model = tmp_path / "gold", threshold_bundle(tmp_path / "m.eib", 0.2)
    data = grey_levels(tmp_path / "data", range(0, 256, 16))
    done = run("add", data, "--gold", place, "--by", "anna", "--at", AT)
    assert done.output.startswith("version 1: 16 new, 0 relabelled, 0 already there; 16 items, digest ")
    assert run("add", data, "--gold", place, "--by", "bert").output.startswith(
        "nothing new: 16 already there"
    )
    one = grey(tmp_path / "one.png", 140)
    assert "version 2: 1 new" in run("add", one, "--label", "light", "--gold", place, "--by", "bert").output
    listed = run("list", "--gold", place).output.splitlines()
    assert listed[2].split()[:5] == ["1", AT, "anna", "16", "16"]
    assert listed[3].split()[2:5] == ["bert", "1", "17"]
    assert "one.png" not in run("list", "--gold", place, "--version", 1).output
    assert "one.png" in run("list", "--gold", place, "--version", 2).output

    found = json.loads(run("eval", model, "--gold", place, "--json").output)
    wrong = [level for level in (128, 140, 144, 160) if level / 127.5 - 1 < 0.2]
    assert found["gold_digest"] == open_set(place).digest
    assert found["gold_version"] == 2
    assert found["accuracy"]["value"] == 1 - len(wrong) / 17
    assert found["per_class"]["dark"]["value"] == 1
    assert found["per_class"]["light"]["n"] == 9
    assert sorted(each["name"] for each in found["wrong"]) == sorted(
        "one.png" if level == 140 else f"{level}.png" for level in wrong
    )
    shown = run("eval", model, "--gold", place, "--version", 1).output
    assert f"gold set  version 1, 16 items, digest {open_set(place, 1).digest}" in shown
    assert "128.png" in shown
    assert "one.png" not in shown
    rows = json.loads(run("list", "--gold", place, "--json").output)["versions"]
    assert [row["items"] for row in rows] == [16, 17]
    assert len(json.loads(run("list", "--gold", place, "--version", 1, "--json").output)["items"]) == 16


def test_a_zip_file_is_added_with_its_folders_labels(tmp_path, grey_levels):
    packed = shutil.make_archive(
        str(tmp_path / "p"), "zip", grey_levels(tmp_path / "data", range(0, 256, 64))
    )
    assert "4 new" in run("add", packed, "--gold", tmp_path / "g", "--by", "anna").output
    assert sorted(set(labels(tmp_path / "g").values())) == ["dark", "light"]


def test_what_cannot_be_added_or_evaluated_ends_in_one_line(tmp_path, threshold_bundle, grey):
    place, picture = tmp_path / "gold", grey(tmp_path / "p/1.png", 10)
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture.read_bytes()[:30])
    (tmp_path / "empty.png").write_bytes(b"")
    for source, more, message in (
        (picture, (), "1.png has no label; give --label"),
        (tmp_path / "p", (), "have no labels; give --label"),
        (broken, ("--label", "a"), "broken.png cannot be read"),
        (tmp_path / "empty.png", ("--label", "a"), "empty.png is empty"),
        (tmp_path / "none.png", ("--label", "a"), "no pictures or recordings at"),
    ):
        with pytest.raises(DataError, match=message):
            run("add", source, "--gold", place, "--by", "anna", *more)
    with pytest.raises(DataError, match="no gold set at"):
        run("list", "--gold", place)
    with pytest.raises(DataError, match="no gold set at"):
        run("eval", threshold_bundle(tmp_path / "m.eib", 0), "--gold", place)
    run("add", picture, "--label", "cat", "--gold", place, "--by", "anna")
    with pytest.raises(DataError, match="has no class of sample 1: expected some of dark, light, found cat"):
        run("eval", tmp_path / "m.eib", "--gold", place)
    (place / JOURNAL).write_bytes(b"{")
    with pytest.raises(DataError, match=r"journal.jsonl line 1 is damaged: found a line that is cut off"):
        run("list", "--gold", place)


def test_a_journal_that_lost_all_it_held_is_damaged_and_not_begun_anew(folder):
    (folder / JOURNAL).write_bytes(b"")
    with pytest.raises(DataError, match="is damaged: found an empty file"):
        read_versions(folder)
    with pytest.raises(DataError, match="restore the journal from a backup"):
        add(folder, [offer("x", "a", b"other")], by="anna", at=AT)
    assert (folder / JOURNAL).read_bytes() == b""
