"""Recordings and rows, from a folder or a CSV file to an answer of the command line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile

import edgeinfer as ei
from converters import convert
from converters.recipe import (
    AudioInput,
    Augment,
    ConvNetwork,
    Data,
    Gates,
    MlpNetwork,
    Recipe,
    SeparableNetwork,
    Student,
    TableInput,
    Teacher,
    Training,
)

OPEN = Gates(max_int8_drop=1.0, min_parity=0.95)
SHORT = Training(12, batch_size=16, learning_rate=0.01)
QUICK = Training(40, batch_size=32, learning_rate=0.03)
PITCHES = {"high": 2400, "low": 500, "middle": 1200}


def recording(pitch: float, seed: int, rate: int = 8000) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(round(rate * generator.uniform(0.15, 0.35))) / rate
    wave = np.sin(2 * np.pi * pitch * generator.uniform(0.9, 1.1) * time) + generator.normal(
        0, 0.1, len(time)
    )
    return np.rint(8000 * wave).astype(np.int16)


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """A bundle that tells three pitches apart."""
    folder = tmp_path_factory.mktemp("spoken")
    for at in range(120):
        label = sorted(PITCHES)[at % 3]
        path = folder / "sounds" / label / f"{at}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(recording(PITCHES[label], at)))
    recipe = Recipe(
        name="pitches",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        data=Data("folder", path="sounds", validation=0.25, test=0.25),
        input=AudioInput(8000, 0.3, mels=20, coefficients=12),
        teacher=Teacher(network=ConvNetwork(8, (1, 1)), training=SHORT, views=4),
        student=Student(SHORT, SeparableNetwork(8, (16,), (1,), (5, 4), (2, 2)), mixup=0.1),
        augment=Augment(shift=0.05, gain_db=3.0, noise=0.3, snr_db=20.0, speed=0.05, gap=0.05),
        gates=OPEN,
        folder=str(folder),
    )
    outcome = convert(recipe, folder / "pitches.eib", folder / "work")
    assert outcome.figures.student_accuracy.value > 0.9
    return outcome.bundle


@pytest.fixture(scope="module")
def flowers(tmp_path_factory) -> Path:
    """A bundle that tells scikit-learn's irises apart, with a column of words and missing values."""
    from sklearn.datasets import load_iris

    folder, iris = tmp_path_factory.mktemp("flowers"), load_iris()
    with (folder / "iris.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sepal length", "sepal width", "petal length", "petal width", "place", "species"])
        for at, (values, target) in enumerate(zip(iris.data, iris.target, strict=True)):
            cells = ["" if (at + column) % 29 == 0 else value for column, value in enumerate(values)]
            writer.writerow([*cells, ("garden", "meadow")[at % 2], iris.target_names[target]])
    recipe = Recipe(
        name="iris",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        data=Data("csv", path="iris.csv", label="species", validation=0.2, test=0.2),
        input=TableInput(),
        teacher=Teacher(network=MlpNetwork((32, 32)), training=QUICK, views=2),
        student=Student(QUICK, MlpNetwork((32,))),
        gates=OPEN,
        folder=str(folder),
    )
    outcome = convert(recipe, folder / "iris.eib", folder / "work")
    assert outcome.figures.student_accuracy.value > 0.85
    return outcome.bundle


def predicted(command: Path, *arguments: object, given: bytes = b"") -> tuple[int, list[dict], str]:
    done = subprocess.run(
        [str(command), "predict", *map(str, arguments), "--json"],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_a_model_of_recordings_takes_paths_bytes_and_samples_at_any_rate(spoken, tmp_path):
    with ei.load(spoken) as model:
        assert model.manifest.task == "audio-classification"
        assert model.manifest.inputs[0].shape == ("batch", 1, 17, 12)
        for label, pitch in PITCHES.items():
            samples = recording(pitch, 1000)
            (tmp_path / "x.wav").write_bytes(wav(samples))
            other = recording(pitch, 1000, 44100)
            for source in (
                tmp_path / "x.wav",
                wav(samples),
                (samples, 8000),
                (samples / np.float32(32768), 8000),
                (other, 44100),
                wav(np.stack([other, other], 1), 44100),
            ):
                assert model.predict(source).label == label
        with pytest.raises(ei.DecodeError, match="is no WAV file"):
            model.predict(b"RIFX")
        with pytest.raises(ei.InputError, match="found int16"):
            model.predict(recording(500, 0))
        with pytest.raises(ei.InputError, match="this is no recording"):
            model.predict(7)
        with pytest.raises(ei.InputError, match="the input names"):
            model.predict({"a": 1})


def test_the_golden_sources_are_recordings_and_rows_that_this_machine_reads(spoken, flowers):
    for path, begins in ((spoken, b"RIFF"), (flowers, b"{")):
        with ei.open_bundle(path) as bundle:
            sources = bundle.manifest.golden.sources["input"]
            assert len(sources) == 8
            assert all(bundle.read(blob).startswith(begins) for blob in sources)


@pytest.mark.parametrize("engine", ["litert", "onnxruntime"])
def test_every_engine_runs_both_kinds(spoken, flowers, engine):
    for path in (spoken, flowers):
        with ei.open_bundle(path) as bundle:
            ids = [each.id for each in bundle.manifest.variants]
        run = {ei.load(path, variant=each).selection.chosen.engine for each in ids}
        assert engine in run


def test_a_model_of_rows_takes_dicts_lists_and_json(flowers):
    row = {
        "sepal length": 5.0,
        "sepal width": 3.4,
        "petal length": 1.5,
        "petal width": 0.2,
        "place": "garden",
    }
    with ei.load(flowers) as model:
        assert model.manifest.task == "table-classification"
        assert model.manifest.inputs[0].shape == ("batch", 7)
        for source in (
            row,
            list(row.values()),
            json.dumps(row).encode(),
            {**row, "sepal width": None, "id": 3},
        ):
            assert model.predict(source).label == "setosa"
        assert model.predict({**row, "place": "somewhere else", "sepal length": "5.1"}).label == "setosa"
        tensor = np.zeros((1, 7), np.float32)
        assert model.predict(tensor).label == model.predict({"input": tensor}).label
        with pytest.raises(ei.InputError, match=r"the row lacks columns: .*found petal length, petal width"):
            model.predict({"sepal length": 5.0, "sepal width": 3.4, "place": "garden"})
        with pytest.raises(ei.InputError, match="the input names"):
            model.predict({"inptu": tensor})


def test_the_command_answers_for_recordings(spoken, tmp_path, edgeinfer_command):
    (tmp_path / "folder").mkdir()
    for label, pitch in PITCHES.items():
        (tmp_path / "folder" / f"{label}.wav").write_bytes(wav(recording(pitch, 7)))
    (tmp_path / "folder/broken.wav").write_bytes(b"RIFF")
    status, answers, errors = predicted(edgeinfer_command, spoken, tmp_path / "folder")
    assert status == 1
    assert {Path(each["file"]).stem: each["label"] for each in answers} == {name: name for name in PITCHES}
    assert "broken.wav is no WAV file" in errors
    status, answers, _ = predicted(edgeinfer_command, spoken, "-", given=wav(recording(500, 8)))
    assert (status, [each["label"] for each in answers]) == (0, ["low"])


def test_the_command_answers_for_rows(flowers, tmp_path, edgeinfer_command):
    lines = [
        "place,petal width,petal length,sepal width,sepal length",
        "garden,0.2,1.4,3.5,5.1",
        "garden,0.2",
    ]
    (tmp_path / "rows.csv").write_text(
        "\n".join([*lines, "meadow,2.3,6.0,3.0,6.8", "meadow,wide,6.0,3.0,6.8"])
    )
    status, answers, errors = predicted(edgeinfer_command, flowers, tmp_path / "rows.csv")
    assert status == 1
    assert [(each["file"].rpartition(":")[2], each["label"]) for each in answers] == [
        ("2", "setosa"),
        ("4", "virginica"),
    ]
    assert "rows.csv:3: the line does not fit the head of the table" in errors
    assert "rows.csv:5: column petal width: this is no number" in errors
    row = [5.1, 3.5, 1.4, 0.2, "garden"]
    (tmp_path / "one.json").write_text(json.dumps(row))
    (tmp_path / "two.json").write_text(json.dumps([row, row]))
    status, answers, _ = predicted(edgeinfer_command, flowers, tmp_path / "one.json", tmp_path / "two.json")
    assert (status, [each["label"] for each in answers]) == (0, ["setosa"] * 3)
    status, answers, _ = predicted(edgeinfer_command, flowers, "-", given=json.dumps(row).encode())
    assert (status, [each["label"] for each in answers]) == (0, ["setosa"])


def test_verify_reads_the_golden_sources(spoken, flowers, edgeinfer_command):
    for path in (spoken, flowers):
        done = subprocess.run(
            [str(edgeinfer_command), "verify", str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "preprocessing  ok    8 golden sources" in done.stdout
