"""Collections with something wrong: empty class folders, items that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.data.complaints import check_unreadable, refuse_empty_folders
from converters.data.sources import Item
from converters.progress import Quiet
from edgeinfer.errors import DataError


class Heard(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_a_class_folder_without_items_is_named(tmp_path):
    root = folders(tmp_path, "a", "b", "c", ".cache", "__MACOSX")
    items = [Item("a/1.png", "a"), Item("b/deeper/1.png", "b")]
    with pytest.raises(DataError, match=r"class folder c of .* found 1 such of 3 folders") as caught:
        refuse_empty_folders(root, items)
    assert "fill it, or move it elsewhere" in str(caught.value)
    refuse_empty_folders(root, [*items, Item("c/1.png", "c")])


def test_splits_are_looked_into_one_by_one(tmp_path):
    root = folders(tmp_path, "train/a", "train/b", "test/a", "test/b")
    items = [Item(f"{split}/{name}/1.png", name, split) for split in ("train", "test") for name in "ab"]
    refuse_empty_folders(root, items)
    with pytest.raises(DataError, match="class folder test/b"):
        refuse_empty_folders(root, items[:-1])


def test_what_is_no_folder_is_not_looked_into(tmp_path):
    refuse_empty_folders(tmp_path / "data.zip", [Item("a/1.png", "a")])


LINES = [f"a/{at}.png: the picture is damaged" for at in range(8)]


def test_a_few_unreadable_items_are_counted_and_listed(tmp_path):
    heard, log = Heard(), tmp_path / "unreadable.log"
    check_unreadable(LINES, 800, 0.01, log, heard)
    assert heard.notes == ["8 of 800 items cannot be read; they are left out and listed in unreadable.log"]
    assert log.read_text().splitlines() == LINES
    check_unreadable([], 800, 0.0, tmp_path / "none.log", heard)
    assert len(heard.notes) == 1
    assert not (tmp_path / "none.log").exists()


def test_too_many_unreadable_items_end_the_run_with_their_names(tmp_path):
    log = tmp_path / "unreadable.log"
    with pytest.raises(DataError) as caught:
        check_unreadable(LINES, 40, 0.01, log, Heard())
    assert str(caught.value) == (
        "8 of 40 items cannot be read: a/0.png, a/1.png, a/2.png, a/3.png, a/4.png ...: expected at most 1.0%, "
        "found 20.0%, the first: a/0.png: the picture is damaged; "
        f"mend or remove them, or raise data.max_unreadable; {log} has them all, each with its reason"
    )
    assert log.read_text().splitlines() == LINES
