"""Conversions that are killed, that miss a limit, and that take a user's own teacher."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import edgeinfer as ei
from converters import convert, load_examples, load_recipe
from converters.pipeline import STEPS
from converters.progress import Quiet
from converters.recipe import (
    ConvNetwork,
    Data,
    Drift,
    Gates,
    Quantize,
    Recipe,
    Student,
    Teacher,
    Training,
)
from edgeinfer.bundle import encode, open_bundle
from edgeinfer.drift import count_symbols, feature_symbols
from edgeinfer.errors import ConversionError, GateError
from edgeinfer.preprocess import Preprocessor

ROOT = Path(__file__).parents[2]
OPEN = Gates(max_int8_drop=1.0, min_parity=0.9, min_int8_parity=0.0, min_int8_agreement=0.0)
# Timing several takes a process each.
ONE_TYPE = Quantize(onnx_types=("U8S8",))


def small(**changes: object) -> Recipe:
    """The demo's recipe, so short that it learns little."""
    recipe = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    return replace(
        recipe,
        data=Data("digits", limit_per_class=40),
        teacher=Teacher(network=ConvNetwork(8, (1, 1)), training=Training(2), views=3),
        student=Student(Training(3), ConvNetwork(4, (1, 1))),
        **{"gates": OPEN, "quantize": ONE_TYPE, "drift": Drift(projections=2), **changes},
    )


class Heard(Quiet):
    """Remembers what steps said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bars: dict[str, int] = {}

    def note(self, text: str) -> None:
        if text.endswith(": up to date"):
            self.notes.append(text)

    def bar(self, title: str, total: int, *, done: int = 0):
        self.bars[title] = done
        return super().bar(title, total, done=done)


_KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_conversion import small
from converters import convert
from converters.pipeline import STEPS
from converters.progress import Quiet

class Fatal(Quiet):
    @contextmanager
    def bar(self, title, total, *, done=0):
        class Bar:
            count = done
            def advance(self, done=1, *, note=""):
                Bar.count += done
                if title == sys.argv[3] and Bar.count == int(sys.argv[4]):
                    os.kill(os.getpid(), signal.SIGKILL)
        yield Bar()

folder = Path(sys.argv[2])
convert(small(), folder / "digits.eib", folder / "work", Fatal())
"""


def skipped(heard: Heard) -> list[str]:
    """The steps that said they were up to date; others say what they found."""
    return [note.removesuffix(": up to date") for note in heard.notes if note.endswith(": up to date")]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    convert(small(), folder / "digits.eib", folder / "work")
    return folder


def before(step: str) -> list[str]:
    """Names of the steps before one."""
    names = [each.name for each in STEPS]
    return names[: names.index(step)]


def killed_at(folder: Path, title: str, count: int) -> None:
    arguments = [str(Path(__file__).parent), str(folder), title, str(count)]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, *arguments], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    assert not (folder / "digits.eib").exists()


@pytest.mark.parametrize(
    ("title", "count", "step", "resumed_at"),
    [
        ("training the teacher", 1, "teacher", 1),
        ("asking the teacher", 1, "answers", 0),
        ("distilling the student", 2, "student", 2),
        ("quantizing", 1, "quantize", 0),
    ],
)
def test_a_killed_run_goes_on_where_it_was_to_the_same_result(
    tmp_path, unbroken, title, count, step, resumed_at
):
    killed_at(tmp_path, title, count)
    heard = Heard()
    convert(small(), tmp_path / "digits.eib", tmp_path / "work", heard)
    assert skipped(heard) == before(step)
    assert heard.bars[title] == resumed_at
    assert_the_same(tmp_path, unbroken)


@pytest.mark.parametrize(
    ("title", "count", "step"),
    [("asking variants", 2, "test"), ("timing variants", 5, "measure"), ("packing", 4, "package")],
)
def test_a_run_killed_in_a_late_step_goes_on_to_the_same_result(tmp_path, unbroken, title, count, step):
    shutil.copytree(unbroken / "work", tmp_path / "work")
    for each in STEPS[len(before(step)) :]:
        shutil.rmtree(tmp_path / "work" / each.name)
    killed_at(tmp_path, title, count)
    assert not (tmp_path / "work" / step).exists(), "no half artifact"
    heard = Heard()
    convert(small(), tmp_path / "digits.eib", tmp_path / "work", heard)
    assert skipped(heard) == before(step)
    assert_the_same(tmp_path, unbroken)


# Artifacts that hold times; the manifest names their fields.
TIMED = {"timings.json", "figures.json", "integer-types.json", "bundle.eib"}
TIMED |= {"report.md", "report.json", "report.html", "shipped-report.html"}


def assert_the_same(folder: Path, other: Path) -> None:
    """Hold two work folders and their bundles against each other, but for what the bundle says may differ."""
    for step in STEPS:
        one, two = (digests_of(work / "work" / step.name) for work in (folder, other))
        differing = {name for name in one if one[name] != two[name]}
        assert differing <= TIMED, step.name
    manifests = []
    for each in (folder, other):
        with open_bundle(each / "digits.eib") as bundle:
            manifests.append(encode(bundle.manifest))
    for path in manifests[0]["lineage"]["not_deterministic"]:
        for manifest in manifests:
            without(manifest, path.split("."))
    assert manifests[0] == manifests[1]


def digests_of(folder: Path) -> dict[str, str]:
    return json.loads((folder / "done.json").read_text())["artifacts"]


def without(value: object, path: list[str]) -> None:
    """Remove the fields of a path from nested lists and tables; `*` stands for every entry."""
    first, *rest = path
    entries = value.values() if isinstance(value, dict) else value
    if first == "*":
        for entry in entries:
            without(entry, rest)
    elif rest:
        without(value[first], rest)
    else:
        value.pop(first, None)


def test_a_device_finds_the_symbols_that_the_bundle_says(unbroken):
    """The drift reference, confusion and cascade hold for the bundle as it is run, not as it was trained."""
    validation = load_examples(unbroken / "work", "validation")
    with ei.load(unbroken / "digits.eib") as model:
        manifest = model.manifest
        inputs = {"input": Preprocessor(manifest.inputs[0].preprocess).tensors(validation.items)}
        outputs = model.run(inputs)
        sure = np.array([model.predict(item[None]).confidence for item in inputs["input"]])
    names = [feature.name for feature in manifest.drift.features]
    assert names[-2:] == ["penultimate.0", "penultimate.1"]
    for feature in manifest.drift.features:
        found = feature_symbols(feature, manifest, inputs, outputs)
        assert count_symbols(found, len(feature.counts)) == feature.counts, feature.name
    named = outputs["logits"].argmax(1)
    with open_bundle(unbroken / "digits.eib") as bundle:
        counts = np.frombuffer(bundle.read(manifest.confusion.counts.blob), "<i4").reshape(10, 10)
        card = bundle.read(manifest.documents["model-card.md"].blob).decode()
    assert counts.sum() == len(named)
    assert all(counts[label, name] > 0 for label, name in zip(validation.labels, named, strict=True))
    for point in manifest.cascade.points:
        assert point.escalation.value == (sure < point.threshold).mean()
    assert card.startswith("# Model card: digits 1.0.0")
    assert "onnxruntime 1.18 or newer" in card


def test_a_missed_limit_fails_with_the_figures_and_leaves_no_bundle(tmp_path, unbroken):
    # A copy: its report becomes that of the missed limits.
    work = tmp_path / "work"
    shutil.copytree(unbroken / "work", work)
    strict = replace(small(), gates=replace(OPEN, max_bytes=100, min_accuracy=1.0))
    with pytest.raises(GateError) as caught:
        convert(strict, tmp_path / "digits.eib", work)
    message = str(caught.value)
    assert "step teacher: min_accuracy of tflite-int8 missed: expected at least 1, found" in message
    assert "max_bytes of onnx-int8:" in message
    assert "change the data and their labels, or the teacher" in message
    page = work / "report/report.html"
    assert f"what was lost where: {page}" in message
    assert "Not to be shipped" in page.read_text()
    assert not (tmp_path / "digits.eib").exists()


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_lost(tmp_path, unbroken):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="is a file; choose another place"):
        convert(small(), tmp_path / "file/digits.eib", unbroken / "work")
    heard = Heard()
    convert(small(), tmp_path / "digits.eib", unbroken / "work", heard)
    assert skipped(heard) == [step.name for step in STEPS]


def test_layers_in_float_and_two_integer_types_ship_as_asked_for(tmp_path, unbroken):
    shutil.copytree(unbroken / "work", tmp_path / "work")
    asked = Quantize("entropy", onnx_types=("U8S8", "U8U8"), ship=2, float_layers=("classifier",))
    outcome = convert(small(quantize=asked), tmp_path / "digits.eib", tmp_path / "work")
    variants = {each.id: each for each in outcome.figures.variants}
    assert variants["tflite-mixed"].float_layers == variants["onnx-mixed"].float_layers == ("classifier",)
    others = {each.types for each in variants.values() if each.id.startswith("onnx-mixed")}
    assert others == {"U8S8", "U8U8"}
    assert outcome.figures.int8_agreement >= 0.999
    assert "What is shipped keeps <code>classifier</code> in float." in outcome.report.read_text()
    model = ei.load(outcome.bundle)
    assert [each.precision for each in model.manifest.variants] == ["mixed"] * 3 + ["fp32"] * 2
    hinted = {variants[each.id].types for each in model.manifest.variants if "avx512_vnni" in each.isa}
    assert hinted == {"U8S8"}

    auto = small(quantize=replace(ONE_TYPE, float_layers="auto"), gates=replace(OPEN, max_int8_drop=0.5))
    figures = convert(auto, tmp_path / "digits.eib", tmp_path / "work").figures
    assert [each.id for each in figures.variants[:2]] == ["tflite-int8", "onnx-int8"], "nothing was needed"

    wrong = small(quantize=replace(asked, float_layers=("nowhere",)))
    with pytest.raises(ConversionError, match=r"unknown layer 'nowhere': expected features\.0"):
        convert(wrong, tmp_path / "digits.eib", tmp_path / "work")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no model"), "cannot load the teacher"),
        (
            lambda path: export_teacher(path, 7, 8),
            "the teacher's classes are not the data's: expected 10 classes",
        ),
        (
            lambda path: export_teacher(path, 10, 9),
            "the teacher does not take a batch of 256 of the recipe's input",
        ),
        (lambda path: export_teacher(path, 10, 8, Twice()), "it gives tuple, not one tensor"),
        (
            lambda path: export_teacher(path, 10, 8, torch.nn.Unflatten(1, (1, 10))),
            "found torch.float32 (256, 1, 10)",
        ),
        (lambda path: export_teacher(path, 10, 8, NotANumber()), "expected logits, found NaN or infinite"),
    ],
)
def test_a_teacher_that_does_not_fit_says_how(tmp_path, write, message):
    write(tmp_path / "teacher.pt2")
    recipe = replace(small(), teacher=Teacher(path="teacher.pt2"), folder=str(tmp_path))
    with pytest.raises(ConversionError) as caught:
        convert(recipe, tmp_path / "x.eib", tmp_path / "work")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Twice(torch.nn.Module):
    """Gives two answers."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x + 1


class NotANumber(torch.nn.Module):
    """Gives NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float("nan")


def export_teacher(path: Path, classes: int, side: int, *last: torch.nn.Module) -> None:
    linear = torch.nn.Linear(side * side, classes)
    module = torch.nn.Sequential(torch.nn.Flatten(), linear, *last).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(module, (torch.zeros(2, 1, side, side),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


@pytest.mark.parametrize("output", [".", "/", "there"])
def test_an_output_that_is_a_folder_is_refused_before_anything_is_done(tmp_path, output):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConversionError, match="expected the name of a file, found a folder"):
        convert(small(), tmp_path / output if output == "there" else Path(output), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_damaged_work_folder_is_made_good(tmp_path):
    convert(small(), tmp_path / "digits.eib", tmp_path / "work")
    shutil.rmtree(tmp_path / "work/student")
    running = tmp_path / "work/student.running"
    running.mkdir()
    (running / "key").write_bytes(b"\xff\xfe")
    shutil.rmtree(tmp_path / "work/package")
    (tmp_path / "work/package").write_text("a file where a folder was")
    convert(small(), tmp_path / "digits.eib", tmp_path / "work")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == sorted(
        ["lock", *(s.name for s in STEPS)]
    )


def test_a_damaged_checkpoint_counts_as_none(tmp_path, unbroken):
    killed_at(tmp_path, "distilling the student", 2)
    (tmp_path / "work/student.running/checkpoint.pt").write_bytes(b"junk")
    heard = Heard()
    convert(small(), tmp_path / "digits.eib", tmp_path / "work", heard)
    assert heard.bars["distilling the student"] == 0
    weights = "work/student/student.pt"
    assert (tmp_path / weights).read_bytes() == (unbroken / weights).read_bytes()


def test_another_preprocessing_trains_anew(unbroken, tmp_path):
    shutil.copytree(unbroken / "work", tmp_path / "work")
    recipe = small()
    heard = Heard()
    changed = replace(recipe, input=replace(recipe.input, mean=(0.4,)))
    convert(changed, tmp_path / "digits.eib", tmp_path / "work", heard)
    assert {"training the teacher", "distilling the student"} <= set(heard.bars)
    assert skipped(heard) == []


def test_every_step_needs_only_what_earlier_ones_give():
    given: list[str] = []
    for step in STEPS:
        assert set(step.needs) <= set(given), step.name
        assert not set(step.gives) & set(given), step.name
        given += step.gives
