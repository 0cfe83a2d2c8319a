from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import load_recipe
from converters.data.dataset import DATA, load_record, load_split
from converters.data.sources import fingerprint, sources
from converters.data.splits import split_items
from converters.progress import Quiet
from converters.recipe import Data
from converters.steps import run_steps
from edgeinfer.errors import DataError

BASE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")


def recipe(folder: Path, **data: object):
    return replace(BASE, folder=str(folder), data=Data("folder", path="pictures", **data))


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


def names(folder: Path, **data: object) -> list[tuple[str, str, str | None]]:
    (source, _), *_ = sources(recipe(folder, **data))
    return [(item.name, item.label, item.split) for item in source.items()]


def run_data(folder: Path, **data: object):
    files = run_steps([DATA], recipe(folder, **data), folder / "work", Quiet(), {})
    return files, load_record(files)


def test_a_folder_a_class(tmp_path):
    for name in ("cat/1.png", "cat/deep/2.PNG", "dog/1.png", "dog/.hidden.png", "dog/notes.txt", "loose.png"):
        write(tmp_path / "pictures" / name, 0) if name.lower().endswith("png") else (
            tmp_path / "pictures" / name
        ).write_text("x")
    assert names(tmp_path) == [
        ("cat/1.png", "cat", None),
        ("cat/deep/2.PNG", "cat", None),
        ("dog/1.png", "dog", None),
    ]


def test_a_link_to_nothing_is_an_item_that_cannot_be_read(tmp_path):
    for at in range(30):
        write(tmp_path / "pictures" / ("ab"[at % 2]) / f"{at}.png", at)
    (tmp_path / "pictures/a/gone.png").symlink_to("nowhere.png")
    _, record = run_data(tmp_path, max_unreadable=0.05)
    (line,) = record.unreadable
    assert line.startswith("a/gone.png")
    assert "No such file" in line
    with pytest.raises(DataError, match=r"gone\.png"):
        run_data(tmp_path, max_unreadable=0.0)


def test_split_folders_and_wrapping_folders_are_recognised(tmp_path):
    for split in ("train", "test"):
        for label in ("a", "b"):
            write(tmp_path / "pictures/wrapped" / split / label / "1.png", 0)
    assert [each[1:] for each in names(tmp_path)] == [
        ("a", "test"),
        ("b", "test"),
        ("a", "train"),
        ("b", "train"),
    ]


def test_a_zip_is_read_like_the_folder_it_holds(tmp_path):
    for value in range(12):
        write(tmp_path / "pictures" / ("ab"[value % 2]) / f"{value}.png", value)
    (tmp_path / "z").mkdir()
    with zipfile.ZipFile(tmp_path / "z/pictures", "w") as archive:
        for path in (tmp_path / "pictures").rglob("*.png"):
            archive.write(path, "train" / path.relative_to(tmp_path / "pictures"))
    files, folder = run_data(tmp_path, validation=0.34, test=0.5)
    zipped_files, zipped = run_data(tmp_path / "z", validation=0.34, test=0.5)
    assert zipped == folder
    for split in ("train", "validation", "test"):
        ours, theirs = load_split(files, split), load_split(zipped_files, split)
        assert sorted(ours.items[:, 0, 0, 0]) == sorted(theirs.items[:, 0, 0, 0])


def test_equal_content_is_never_in_two_splits_and_given_test_pictures_never_train(tmp_path):
    for value in range(30):
        write(tmp_path / "pictures" / "ab"[value % 2] / f"{value}.png", value)
        write(tmp_path / "pictures" / "ab"[value % 2] / f"copy-{value}.png", value)
    for value in range(6):
        write(tmp_path / "held" / "ab"[value % 2] / f"{value}.png", value)
    files, record = run_data(tmp_path, test_path="held", validation=0.2)
    values = {split: set(load_split(files, split).items[:, 0, 0, 0].tolist()) for split in record.splits}
    assert values["test"] == set(range(6))
    assert not values["train"] & values["test"]
    assert not values["train"] & values["validation"]
    assert record.duplicates == 36


def test_a_limit_takes_so_many_of_each_class_by_the_seed(tmp_path):
    for value in range(40):
        write(tmp_path / "pictures" / "ab"[value % 2] / f"{value}.png", value)
    _, record = run_data(tmp_path, limit_per_class=10, validation=0.2, test=0.2)
    assert sum(record.splits.values()) == 20


def test_unreadable_pictures_are_listed_and_too_many_stop_the_run(tmp_path):
    for value in range(20):
        write(tmp_path / "pictures" / "ab"[value % 2] / f"{value}.png", value)
    (tmp_path / "pictures/a/broken.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"1 of 21 items cannot be read: a/broken\.png: expected at most 1\.0%, found 4\.8%"
    ):
        run_data(tmp_path)
    _, record = run_data(tmp_path, max_unreadable=0.1, validation=0.3, test=0.3)
    assert [name.split(":")[0] for name in record.unreadable] == ["a/broken.png"]
    assert sum(record.splits.values()) == 20


def test_a_zip_with_a_damaged_directory_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures", "w") as archive:
        archive.writestr("a/1.png", b"x" * 100)
    data = bytearray((tmp_path / "pictures").read_bytes())
    data[data.index(b"PK\x01\x02") : data.index(b"PK\x01\x02") + 4] = b"XXXX"
    (tmp_path / "pictures").write_bytes(data)
    with pytest.raises(DataError, match="is a damaged zip file"):
        run_data(tmp_path)


def test_a_file_name_that_is_no_text_is_read_all_the_same(tmp_path):
    for value in range(20):
        write(tmp_path / "pictures" / "ab"[value % 2] / os.fsdecode(b"\xe9%d.png" % value), value)
    _, record = run_data(tmp_path, validation=0.3, test=0.3)
    assert sum(record.splits.values()) == 20


def test_train_and_validation_folders_without_a_test_folder_yield_one(tmp_path):
    for value in range(40):
        split = "valid" if value >= 30 else "train"
        write(tmp_path / "pictures" / split / "ab"[value % 2] / f"{value}.png", value)
    _, record = run_data(tmp_path, test=0.2)
    assert record.splits == {"train": 24, "validation": 10, "test": 6}


def test_a_damaged_zip_entry_is_an_unreadable_picture(tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures", "w") as archive:
        for value in range(20):
            write(tmp_path / "one.png", value)
            archive.write(tmp_path / "one.png", f"{'ab'[value % 2]}/{value}.png")
    data = bytearray((tmp_path / "pictures").read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    (tmp_path / "pictures").write_bytes(data)
    _, record = run_data(tmp_path, max_unreadable=0.1, validation=0.3, test=0.3)
    assert [name.split(":")[0] for name in record.unreadable] == ["a/0.png"]
    assert "zip entry a/0.png cannot be read" in record.unreadable[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "nothing there"),
        (lambda path: path.mkdir(), "holds no pictures in class folders"),
        (lambda path: path.write_text("x"), "a file that is no zip"),
        (
            lambda path: [write(path / os.fsdecode(name) / "1.png", 0) for name in (b"a", b"\xff")],
            r"found '\\udcff'",
        ),
        (lambda path: write(path / "only/1.png", 0), "the data has one class"),
        (lambda path: [write(path / name / "1.png", at) for at, name in enumerate("ab")], "split lacks"),
        (
            lambda path: [write(path / name, 0) for name in ("train/a/1.png", "train/b/1.png", "c/1.png")],
            "mixes split folders and class folders",
        ),
    ],
)
def test_data_that_cannot_be_used_says_why(tmp_path, make, message):
    make(tmp_path / "pictures")
    with pytest.raises(DataError, match=message):
        run_data(tmp_path)


def test_a_changed_picture_changes_the_fingerprint(tmp_path):
    write(tmp_path / "pictures/a/1.png", 0)
    before = fingerprint(recipe(tmp_path))
    Image.fromarray(np.zeros((9, 31), np.uint8)).save(tmp_path / "pictures/a/1.png")
    assert fingerprint(recipe(tmp_path)) != before


def test_splits_are_the_same_each_time_and_of_the_asked_size():
    digests = [f"{at:03d}" for at in range(300)]
    labels = [at % 3 for at in range(300)]
    options = {"validation": 0.25, "test": 0.2, "seed": 3}
    first = split_items(digests, labels, [None] * 300, **options)
    assert first == split_items(digests, labels, [None] * 300, **options)
    assert first != split_items(digests, labels, [None] * 300, **{**options, "seed": 4})
    assert (first.count("test"), first.count("validation"), first.count("train")) == (60, 60, 180)
    for label in range(3):
        assert sum(split == "test" for split, own in zip(first, labels, strict=True) if own == label) == 20
