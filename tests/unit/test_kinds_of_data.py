"""The data step for recordings and tables: folders, CSV, unlabelled items, what is fitted and on what."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile

from converters import load_recipe
from converters.data.dataset import DATA, item_digests, load_record, load_split, load_unlabelled
from converters.progress import Quiet
from converters.recipe import (
    AudioInput,
    Augment,
    Data,
    MlpNetwork,
    Recipe,
    SeparableNetwork,
    TableInput,
    check_recipe,
)
from converters.steps import Context, Step, run_steps
from edgeinfer.bundle import Category, Numeric
from edgeinfer.errors import DataError, RecipeError
from edgeinfer.preprocess import Preprocessor

BASE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")
AUDIO = AudioInput(8000, 0.1, mels=8, low_hz=100.0)
NETWORK = SeparableNetwork(8, (8,), (1,))


def audio(folder: Path, **data: object) -> Recipe:
    training = BASE.student.training
    return replace(
        BASE,
        folder=str(folder),
        data=Data("folder", **{"path": "sounds", "validation": 0.25, "test": 0.25, **data}),
        input=AUDIO,
        augment=Augment(),
        teacher=replace(BASE.teacher, network=NETWORK, training=training),
        student=replace(BASE.student, network=NETWORK),
    )


def table(folder: Path, input_: TableInput | None = None, **data: object) -> Recipe:
    network = MlpNetwork((8,))
    own = {"path": "table.csv", "label": "kind", "validation": 0.25, "test": 0.25, **data}
    return replace(
        audio(folder),
        data=Data("csv", **own),
        input=input_ or TableInput(),
        teacher=replace(BASE.teacher, network=network),
        student=replace(BASE.student, network=network),
    )


def run_data(recipe: Recipe) -> tuple[dict[str, Path], Recipe]:
    """Run the data step; return its artifacts and the recipe as later steps see it."""
    seen: list[Recipe] = []

    def look(context: Context) -> None:
        seen.append(context.recipe)
        context.give("nothing").write_bytes(b"")

    check_recipe(recipe)
    after = Step("after", (), ("nothing",), lambda _: np.random.default_rng().random(), look)
    return run_steps([DATA, after], recipe, Path(recipe.folder) / "work", Quiet(), {}), seen[0]


def tone(seed: int, length: int = 600, rate: int = 8000) -> bytes:
    generator = np.random.default_rng(seed)
    time = np.arange(length) / rate
    wave = 8000 * np.sin(2 * np.pi * generator.uniform(200, 3000) * time) + generator.normal(0, 300, length)
    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, rate, wave.astype(np.int16))
    return buffer.getvalue()


def write_sounds(folder: Path, count: int = 24) -> None:
    for at in range(count):
        path = folder / "sounds" / "ab"[at % 2] / f"{at}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tone(at))


ROWS = [
    {"size": f"{at * 1.5}", "colour": ("red", "blue")[at % 2], "id": f"r{at}", "kind": "xy"[at // 2 % 2]}
    for at in range(40)
]


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_recordings_are_read_split_and_fitted_on_the_training_split_alone(tmp_path):
    write_sounds(tmp_path)
    files, later = run_data(audio(tmp_path))
    record, training = load_record(files), load_split(files, "train")
    assert (record.classes, sum(record.splits.values())) == (("a", "b"), 24)
    assert (training.items.dtype, training.items.shape[1:]) == (np.int16, (800,))
    assert not training.items[:, 600:].any(), "a shorter recording is filled with silence"
    spectra = Preprocessor(AUDIO.decoding()).tensors(training.items).astype(np.float64)
    normalize = later.input.steps()[-1]
    np.testing.assert_allclose(normalize.mean, spectra.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(normalize.std, spectra.std((0, 1, 2)), atol=1e-5)
    tensors = Preprocessor(later.input.steps()).tensors(training.items)
    assert tensors.shape[1:] == AUDIO.shape == later.input.shape
    assert abs(tensors.mean()) < 1e-3
    assert later.digest() == audio(tmp_path).digest(), "the recipe is what was asked for"


def test_a_mean_of_the_recipe_s_own_is_kept(tmp_path):
    write_sounds(tmp_path)
    recipe = replace(audio(tmp_path), input=replace(AUDIO, mean=(-5.0,), std=(3.0,)))
    _, later = run_data(recipe)
    assert later.input == recipe.input


def test_a_zip_of_split_folders_of_recordings(tmp_path):
    with zipfile.ZipFile(tmp_path / "sounds", "w") as archive:
        for at in range(24):
            split = "test" if at >= 18 else "train"
            archive.writestr(f"digits/{split}/{'ab'[at % 2]}/{at}.wav", tone(at))
        archive.writestr("digits/readme.txt", "no sound")
    files, _ = run_data(audio(tmp_path))
    assert load_record(files).splits == {"train": 14, "validation": 4, "test": 6}


def test_the_spoken_digits_end_to_end(tmp_path, shared):
    recipe = audio(tmp_path, path=str(shared / "data/spoken-digits.zip"), limit_per_class=40, validation=0.3)
    recipe = replace(recipe, input=AudioInput(8000, 1.0))
    files, later = run_data(recipe)
    record = load_record(files)
    assert record.classes == tuple("0123456789")
    assert sum(record.splits.values()) == 400
    assert not record.unreadable
    tensors = Preprocessor(later.input.steps()).tensors(load_split(files, "test").items)
    assert tensors.shape[1:] == (1, 61, 40)
    assert np.isfinite(tensors).all()


def test_a_table_s_columns_are_recognised_and_fitted_on_the_training_split_alone(tmp_path):
    write_table(
        tmp_path / "table.csv", [{key: row[key] for key in ("size", "colour", "kind")} for row in ROWS]
    )
    files, later = run_data(table(tmp_path))
    training = load_split(files, "train")
    assert training.items.dtype == np.float64
    size, colour = later.input.fitted.columns
    assert (size.name, colour) == ("size", Category("colour", ("blue", "red")))
    assert size.mean == pytest.approx(training.items[:, 0].mean())
    assert size.scale == pytest.approx(training.items[:, 0].std())
    everything = [load_split(files, split).items[:, 0] for split in ("train", "validation", "test")]
    assert size.mean != pytest.approx(np.concatenate(everything).mean())
    assert later.input.shape == (4,)
    tensors = Preprocessor(later.input.steps()).tensors(training.items)
    assert tensors.shape == (len(training.labels), 4)
    assert tensors[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert set(tensors[:, 1:].sum(1).tolist()) == {1.0}


def test_missing_values_and_rare_words_follow_the_recipe(tmp_path):
    rows = [dict(row) for row in ROWS]
    for at in range(0, 40, 4):
        rows[at]["size"] = "?"
    rows[1]["colour"] = rows[3]["colour"] = "green"
    rows[5]["colour"] = "?"
    write_table(tmp_path / "table.csv", rows)
    own = TableInput(("size",), ("colour",), missing=("?",), fill="median", min_count=5)
    files, later = run_data(table(tmp_path, own))
    items = load_split(files, "train").items
    size, colour = later.input.fitted.columns
    known = items[~np.isnan(items[:, 0]), 0]
    assert size == Numeric("size", float(np.mean(known)), float(np.std(known)), float(np.median(known)))
    assert colour.vocabulary == ("blue", "red"), "green is too rare"
    assert sum(load_record(files).splits.values()) == 40, "id is no column of this recipe"


def test_rows_that_do_not_fit_are_unreadable_and_too_many_stop_the_run(tmp_path):
    write_table(tmp_path / "table.csv", ROWS)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    lines[3] = "many,red,r2,y"
    lines[5] = "1,2"
    lines[7] = "9,red,r6,"
    (tmp_path / "table.csv").write_text("\n".join(lines))
    own = TableInput(("size",), ("colour",))
    with pytest.raises(DataError, match=r"3 of 40 items cannot be read: table\.csv row 4, table\.csv row 6"):
        run_data(table(tmp_path, own))
    files, _ = run_data(table(tmp_path, own, max_unreadable=0.1))
    record = load_record(files)
    assert [each.split(":")[0] for each in record.unreadable] == [f"table.csv row {row}" for row in (4, 6, 8)]
    assert "found 2 fields" in record.unreadable[1]
    assert "the row has no class" in record.unreadable[2]


def test_equal_rows_are_never_in_two_splits(tmp_path):
    write_table(tmp_path / "table.csv", [*ROWS, *ROWS])
    files, _ = run_data(table(tmp_path, TableInput(("size",), ("colour",))))
    parts = [set(item_digests(files, split)) for split in ("train", "validation", "test")]
    assert load_record(files).duplicates == 40
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


def test_a_table_of_its_own_for_the_test(tmp_path):
    write_table(tmp_path / "table.csv", ROWS[:30])
    write_table(tmp_path / "test.csv", ROWS[30:])
    files, _ = run_data(table(tmp_path, TableInput(("size",)), test_path="test.csv"))
    assert load_record(files).splits["test"] == 10
    assert sorted(load_split(files, "test").items[:, 0]) == [at * 1.5 for at in range(30, 40)]


def test_unlabelled_recordings_are_a_set_of_their_own_and_never_those_of_another(tmp_path):
    write_sounds(tmp_path)
    (tmp_path / "more/deep").mkdir(parents=True)
    for at in (3, 100, 101, 102):
        (tmp_path / f"more/deep/{at}.wav").write_bytes(tone(at))
    (tmp_path / "more/again.wav").write_bytes(tone(100))
    files, later = run_data(audio(tmp_path, unlabelled="more"))
    record, found = load_record(files), load_unlabelled(files)
    assert record.splits["unlabelled"] == 3, "one is known, one is there twice"
    assert record.classes == ("a", "b")
    assert (found.items.shape, found.labels.tolist()) == ((3, 800), [-1] * 3)
    plain_files, plain = run_data(audio(tmp_path))
    assert later.input == plain.input, "nothing is fitted to them"
    assert len(load_unlabelled(plain_files).labels) == 0
    assert "unlabelled" not in load_record(plain_files).splits


def test_unlabelled_rows_need_no_class(tmp_path):
    write_table(tmp_path / "table.csv", ROWS)
    write_table(tmp_path / "more.csv", [{"size": f"{at}", "colour": "green"} for at in range(1000, 1005)])
    files, later = run_data(table(tmp_path, TableInput(("size",), ("colour",)), unlabelled="more.csv"))
    items = load_unlabelled(files).items
    assert items[:, 0].tolist() == [1000, 1001, 1002, 1003, 1004]
    assert set(items[:, 1].tolist()) == {2.0}, "a word that training does not know"
    assert later.input.fitted.columns[1].vocabulary == ("blue", "red")


def write_one_class(folder: Path) -> None:
    (folder / "sounds/only").mkdir(parents=True)
    (folder / "sounds/only/1.wav").write_bytes(tone(0))


def write_broken(folder: Path) -> None:
    write_sounds(folder)
    for at in range(3):
        (folder / f"sounds/a/{at}x.wav").write_bytes(b"RIFF" + bytes(at))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "no recordings at .*nothing there"),
        (lambda folder: (folder / "sounds").mkdir(), "holds no recordings in class folders"),
        (lambda folder: (folder / "sounds").write_text("x"), "a file that is no zip"),
        (write_one_class, "the data has one class"),
        (write_broken, "3 of 27 items cannot be read: a/0x.wav"),
    ],
)
def test_recordings_that_cannot_be_used_say_why(tmp_path, make: Callable[[Path], object], message):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        run_data(audio(tmp_path))


def test_an_empty_folder_of_unlabelled_recordings_says_so(tmp_path):
    write_sounds(tmp_path)
    (tmp_path / "more").mkdir()
    with pytest.raises(DataError, match=r"holds no recordings: expected files with \.wav"):
        run_data(audio(tmp_path, unlabelled="more"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no table at .*expected a CSV file, found nothing there"),
        (b"", "is no table: .*found 0 rows"),
        (b"size,kind\n", "is no table"),
        (b"size,size\n1,2\n", "expected a first line of unique column names"),
        (b"a,b\n1,2\n", "has no column 'kind': found a, b"),
        (b"size,kind\n1,\n2,\n", "the data has no classes"),
        (b"size,kind\n1,x\n2,x\n", "the data has one class"),
        (b"size,kind\n1,x\n2,y\n", "split lacks"),
        (b'size,kind\n1,"x\n', "cannot read table"),
        (b"\xff\xfe\n1\n", "write it as UTF-8 CSV"),
        (b"size,kind\n1,x\n2,y\n", "no distinct item left for x, y"),
        (
            b"size,kind\n" + b"".join(b"%d,%c\n" % (at, b"xy"[at % 2]) for at in range(40)) + b"3O,x\n",
            "column size holds numbers but for 1 of 41 rows.*found '3O'",
        ),
        (b'size,kind\n1,"x\ny"\n2,z\n', r"the name of a class: .*found 'x\\ny'; rename"),
        (
            b"size,kind\n" + b"".join(b"word%d,%c\n" % (at, b"xy"[at % 2]) for at in range(40)),
            "has no word that occurs 2",
        ),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path, text, message):
    if text is not None:
        (tmp_path / "table.csv").write_bytes(text)
    with pytest.raises(DataError, match=message):
        run_data(table(tmp_path))


def test_a_named_column_that_is_not_there_says_so(tmp_path):
    write_table(tmp_path / "table.csv", ROWS)
    with pytest.raises(DataError, match="the table lacks columns: found weight"):
        run_data(table(tmp_path, TableInput(("size", "weight"))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": TableInput()}, "recipe.input.kind: expected image or audio for 'folder', found table"),
        ({"data": Data("folder", path="x", label="y")}, "recipe.data.label"),
        ({"data": Data("folder", path="x", delimiter=";;")}, "recipe.data.delimiter"),
        (
            {"data": Data("csv", path="x", label="y"), "input": TableInput(("y",))},
            "recipe.input: expected columns that are not the answer, found data.label 'y'",
        ),
        ({"augment": Augment(flip=True)}, "recipe.augment.flip: expected nothing for input kind 'audio'"),
        ({"augment": Augment(snr_db=-30.0)}, "recipe.augment.snr_db: expected -20 to 100"),
        ({"augment": Augment(speed=0.6)}, "recipe.augment.speed: expected 0 to 0.5"),
        ({"input": replace(AUDIO, seconds=0.0)}, "recipe.input.seconds"),
        ({"input": replace(AUDIO, seconds=0.02)}, "at least one window of 256"),
        ({"input": replace(AUDIO, mels=200)}, "fewer bands"),
        ({"input": replace(AUDIO, high_hz=5000.0)}, "rising, within 0 to 4000.0 Hz"),
        ({"input": replace(AUDIO, coefficients=9)}, "expected 1 to 8 coefficients"),
        ({"input": replace(AUDIO, mean=(0.0,))}, "both, or neither"),
        ({"input": replace(AUDIO, mean=(0.0,) * 3, std=(1.0,) * 3)}, "1 or 8 means"),
        ({"input": replace(AUDIO, mean=(), std=())}, "recipe.input.mean"),
        ({"student": replace(BASE.student, network=NETWORK, cutmix=1.0)}, "recipe.student.cutmix"),
        ({"student": replace(BASE.student, network=MlpNetwork((3,)))}, "mlp for tables alone"),
    ],
)
def test_a_recipe_that_does_not_fit_its_kind_is_refused(tmp_path, change, message):
    with pytest.raises(RecipeError) as caught:
        check_recipe(replace(audio(tmp_path), **change))
    assert message in str(caught.value)


def test_what_the_data_step_fits_cannot_be_given(tmp_path):
    write_table(tmp_path / "table.csv", ROWS)
    _, later = run_data(table(tmp_path, TableInput(("size",))))
    with pytest.raises(RecipeError, match=r"recipe\.input\.fitted"):
        check_recipe(later)
    with pytest.raises(RecipeError, match="rows do not blend"):
        check_recipe(replace(table(tmp_path), student=replace(table(tmp_path).student, mixup=0.2)))


def test_the_data_step_gives_the_same_bytes_each_time(tmp_path):
    write_sounds(tmp_path)
    first, _ = run_data(audio(tmp_path))
    before = {name: path.read_bytes() for name, path in first.items() if name != "nothing"}
    again = run_steps([DATA], audio(tmp_path), tmp_path / "other", Quiet(), {})
    for name, path in again.items():
        assert path.read_bytes() == before[name], name
    assert json.loads(before["input.json"])["input"]["kind"] == "audio"
