"""The bundles that ship with the project: whole, within their bars, and as right here as their reports say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import edgeinfer as ei
from converters import load_examples, load_recipe
from converters.data.collection import collect
from converters.data.dataset import DATA
from converters.progress import Quiet
from converters.steps import run_steps
from edgeinfer.bundle import Manifest, open_bundle
from edgeinfer.inference import run_golden_sources, self_test_variants

SAMPLES = Path(__file__).parents[2] / "sample_apps"
INT8 = {"tflite-int8": "litert", "onnx-int8": "onnxruntime"}


@dataclass(frozen=True)
class Bars:
    """What a bundle's int8 files must keep.

    Attributes:
        recipe: Its recipe.
        bytes: Of each file, at most.
        accuracy: Top-1 on the test items, at least.
        drop: From the fp32 student, at most.
        items: Test items.
    """

    recipe: str
    bytes: int
    accuracy: float
    drop: float
    items: int


BARS = {
    "cifar10": Bars("models/cifar10/recipe.toml", 100_000, 0.85, 0.005, 5000),
    "spoken-digits": Bars("models/spoken-digits/recipe.toml", 54_000, 0.96, 0.01, 300),
    "digits": Bars("digits/recipe.toml", 20_000, 0.975, 0.005, 599),
}


def bundle_of(name: str) -> Path:
    return SAMPLES / f"models/{name}.eib"


def manifest_of(name: str) -> Manifest:
    with open_bundle(bundle_of(name)) as bundle:
        return bundle.manifest


def report_of(name: str) -> dict[str, Any]:
    with open_bundle(bundle_of(name)) as bundle:
        report: dict[str, Any] = json.loads(bundle.read(bundle.manifest.documents["report.json"].blob))
    return report


@pytest.mark.parametrize("name", BARS)
def test_every_digest_and_every_golden_input_is_right_on_both_engines(name):
    with open_bundle(bundle_of(name)) as bundle:
        bundle.verify()
        assert run_golden_sources(bundle) > 0
        results = [each for each in self_test_variants(bundle) if not each.skipped]
    assert not [each.failed for each in results if each.failed]
    assert INT8.items() <= {each.variant: each.engine for each in results if each.cases}.items()


@pytest.mark.parametrize("name", BARS)
def test_int8_files_keep_their_bars(name):
    bars, manifest = BARS[name], manifest_of(name)
    variants = {each.id: each for each in manifest.variants}
    for variant in INT8:
        file = variants[variant]
        assert file.blob.size <= bars.bytes
        assert file.accuracy is not None
        assert file.accuracy.split == "test"
        assert file.accuracy.n == bars.items
        assert file.accuracy.value >= bars.accuracy
    figures = report_of(name)["figures"]
    for each in figures["variants"]:
        if each["id"] in INT8:
            assert each["drop"]["difference"] <= bars.drop
    assert all(each["share"] >= 0.999 for each in figures["agreements"])


def test_the_loss_of_int8_on_cifar10_is_bounded():
    """At most one point lost, with 95% confidence; the drop is counted picture by picture."""
    for each in report_of("cifar10")["figures"]["variants"]:
        if each["id"] in INT8:
            assert each["drop"]["n"] == 5000
            assert each["drop"]["upper_bound"] <= 0.01


def test_the_card_says_that_the_teacher_knew_the_validation_items():
    """The ResNet9 learned from all training pictures, ours for validation among them: a cascade promises too much."""
    known = {}
    for name in BARS:
        with open_bundle(bundle_of(name)) as bundle:
            card = bundle.read(bundle.manifest.documents["model-card.md"].blob).decode()
        known[name] = "it seems to have learned from the validation items" in card
    assert known == {"cifar10": True, "spoken-digits": False, "digits": False}


@pytest.mark.parametrize("name", BARS)
def test_recipe_report_and_bundle_are_of_one_run(name):
    manifest = manifest_of(name)
    assert manifest.lineage is not None
    assert manifest.lineage.recipe_sha256 == load_recipe(SAMPLES / BARS[name].recipe).digest()
    with open_bundle(bundle_of(name)) as bundle:
        inside = bundle.read(manifest.documents["report.md"].blob)
    assert inside == bundle_of(name).with_suffix(".report.md").read_bytes()


def check_measured_again(name: str, items: Iterable[Any], labels: list[str]) -> None:
    """Hold both int8 files to their figure: rounding of another processor may turn one answer in a thousand."""
    wanted = {each.id: each.accuracy for each in manifest_of(name).variants}
    given = list(items)
    assert len(given) == BARS[name].items
    for variant, engine in INT8.items():
        with ei.load(bundle_of(name), variant=variant, engine=engine) as model:
            answers = [each.label for each in model.predict_many(given)]
        right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
        accuracy = wanted[variant]
        assert accuracy is not None
        assert abs(right / len(given) - accuracy.value) <= 0.001 + 1e-9


def test_handwritten_digits_are_measured_again(tmp_path):
    run_steps([DATA], load_recipe(SAMPLES / BARS["digits"].recipe), tmp_path, Quiet(), {})
    test = load_examples(tmp_path, "test")
    check_measured_again("digits", test.items, [str(label) for label in test.labels])


@pytest.mark.parametrize(
    ("name", "file"), [("spoken-digits", "spoken-digits.zip"), ("cifar10", "cifar10-test.zip")]
)
def test_files_of_others_are_measured_again(shared, name, file):
    found = collect(shared / "data" / file)
    with found.source.reading() as reading:
        contents = [reading.read(item) for item in found.items]
    check_measured_again(name, contents, [item.label for item in found.items])
