"""What a command takes of a folder or zip file that it is handed."""

from __future__ import annotations

import zipfile

import pytest

from converters.data.collection import collect
from edgeinfer.errors import DataError


def written(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return root


def names(collection):
    return [(item.name, item.label) for item in collection.items]


@pytest.mark.parametrize("labelled", [None, False])
def test_files_that_systems_leave_behind_are_no_items(tmp_path, labelled):
    """They made a flat folder one of classes, and items that cannot be read."""
    root = written(
        tmp_path / "flat", "a.png", "b.wav", "._a.png", "__MACOSX/a.png", ".thumbs/b.png", "notes.txt"
    )
    found = collect(root, labelled=labelled)
    assert not found.labelled
    assert names(found) == [("a.png", ""), ("b.wav", "")]
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, path.relative_to(root))
    assert names(collect(tmp_path / "flat.zip", labelled=labelled)) == [("a.png", "")]


def test_folders_are_classes_and_the_test_split_is_taken(tmp_path):
    root = written(tmp_path / "data", "train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png")
    found = collect(root)
    assert (found.labelled, found.split) == (True, "test")
    assert names(found) == [("test/a/2.png", "a"), ("test/b/2.png", "b")]
    assert len(collect(root, split="train").items) == 2
    assert len(collect(root, labelled=False).items) == 4
    with pytest.raises(DataError, match="has no validation split"):
        collect(root, split="validation")


def test_nothing_to_take_is_an_error(tmp_path):
    for labelled in (None, True, False):
        with pytest.raises(DataError, match="holds no pictures or recordings"):
            collect(written(tmp_path / "empty", "notes.txt"), labelled=labelled)
