"""The page: whole, closed to the network, safe from hostile names, the same every time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from converters import load_recipe
from converters.data.dataset import DataRecord
from converters.distill.architecture import Candidate, Cost
from converters.distill.training import Epoch, load_history
from converters.quantize.integer_types import TypeFigures
from converters.quantize.sensitivity import Kept, Sensitivity
from converters.recipe import Budget, Gates, ResNetwork, SeparableNetwork
from converters.report.document import Report, headline
from converters.report.frontier import size_frontier, standing_alone
from converters.report.markdown import markdown
from converters.report.mistakes import find_mistakes
from converters.report.page import page
from converters.report.pictures import shown_item
from converters.report.reliability import reliability
from converters.report.svg import Scale, shortened
from converters.verify.answers import Answers
from converters.verify.confidence import Fitted
from converters.verify.figures import Figures, VariantFigures
from converters.verify.gate import judge
from converters.verify.layers import LayerFigures, LayerRow, Layers
from converters.verify.paired import pair_hits
from converters.verify.proportion import proportion
from edgeinfer.bundle import Calibration, Latency

DIGITS = Path(__file__).parents[2] / "sample_apps/digits/recipe.toml"
HOSTILE = ("<script>alert(1)</script>", 'a" onload="x', "{{ 7 * 7 }}", "]]>&amp;|`", "very" * 40)
VARIANTS = ("tflite-int8", "onnx-int8", "tflite-fp32", "onnx-fp32")
ITEMS = 300
# Ten classes, four files and twenty layers, without pictures.
LARGEST_PAGE = 120_000


def answers(classes: int, seed: int = 0) -> Answers:
    generator = np.random.default_rng(seed)
    labels = np.arange(ITEMS) % classes

    def near(noise: float) -> np.ndarray:
        right = np.eye(classes)[labels] * 4
        return (right + generator.normal(0, noise, right.shape)).astype(np.float32)

    student = near(2.0)
    variants = {
        name: (student + generator.normal(0, 0.4 * ("int8" in name), student.shape)).astype(np.float32)
        for name in VARIANTS
    }
    return Answers(labels, near(1.0), student, variants)


def figures(given: Answers) -> Figures:
    teacher, student = given.teacher.argmax(1), given.student.argmax(1)
    variants = []
    for name, own in given.variants.items():
        named = own.argmax(1)
        variants.append(
            VariantFigures(
                id=name,
                format=name.split("-")[0],
                precision=name.split("-")[1],
                engine="engine 1.0",
                bytes=20_000 + 1000 * len(variants),
                accuracy=proportion(named == given.labels),
                agreement=proportion(named == teacher),
                parity=float((named == student).mean()),
                largest_difference=float(np.abs(own - given.student).max()),
                logit_range=10.0,
                drop=pair_hits(student == given.labels, named == given.labels),
                teacher_drop=pair_hits(teacher == given.labels, named == given.labels),
                latency=Latency(12.5 * (len(variants) + 1), "engine 1.0", 1, "a machine"),
                load_ms=1.0,
            )
        )
    accuracies = proportion(teacher == given.labels), proportion(student == given.labels)
    drop = pair_hits(teacher == given.labels, student == given.labels)
    return Figures(accuracies[0], 100_000, accuracies[1], 5_000, drop, 10.0, tuple(variants))


def layers(count: int = 20) -> Layers:
    rows = []
    for at in range(count):
        own = LayerFigures(
            0.99, 0.1, -1.0, 1.0, -1.0, 1.0, 100 + at, 40.0 - at, 42.0 - at if at % 3 else None
        )
        rows.append(
            LayerRow(f"features.{at}", ("Conv2d", "ReLU"), (8, 4, 4), dict.fromkeys(VARIANTS[:2], own))
        )
    return Layers(64, dict.fromkeys(VARIANTS[:2], 20000), tuple(rows))


def report(classes: tuple[str, ...] = tuple("0123456789"), **changes: object) -> Report:
    recipe = replace(load_recipe(DIGITS), gates=Gates(min_accuracy=0.1, max_int8_drop=1.0, min_parity=0.1))
    given = answers(len(classes))
    measured = figures(given)
    known = Report(
        recipe=recipe,
        data=DataRecord(
            classes, {"train": 10, "validation": 5, "test": ITEMS}, "ab" * 32, 0, ("private name",)
        ),
        figures=measured,
        verdicts=judge(measured, recipe.gates),
        fitted=Fitted(1.5, Calibration("temperature", "validation", 5, 0.5, 0.4, 0.05, 0.02)),
        layers=layers(),
        mistakes=find_mistakes(given, classes, dict(zip(VARIANTS[:2], VARIANTS[2:], strict=True)), 1.5),
        reliability=reliability(given.student, given.labels, 1.5),
        tools={"torch": "2.13"},
        histories={"student": tuple(Epoch(at + 1, 2.0 / (at + 1), 1 - 0.5 / (at + 1)) for at in range(30))},
        sensitivity=Sensitivity(
            50,
            0.9,
            Kept((), 0.88, 0.97, 0.01, 20_000),
            (Kept(("features.1",), 0.9, 0.99, 0.001, 22_000),),
            (Kept(("features.1",), 0.9, 0.99, 0.001, 22_000),),
        ),
        integer_types=(
            TypeFigures("U8S8", 20_000, (), 15.0, shipped=True),
            TypeFigures("S8S8", 20_000, (), 30.0),
        ),
    )
    return replace(known, **changes)


class Parsed(HTMLParser):
    """Elements that open and close in order, their attributes, and the text that is read."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"{tag} was not opened"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style"} & set(self.open):
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def made() -> bytes:
    return page(report(), {})


def test_it_parses_and_has_one_heading_of_the_first_rank(made):
    parsed = Parsed(made)
    assert len(parsed.of("h1")) == len(parsed.of("main")) == 1
    assert parsed.of("html") == [{"lang": "en"}]
    names = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(names) == len(set(names))


def test_it_refers_to_nothing_outside_and_runs_nothing(made):
    parsed = Parsed(made)
    assert not parsed.of("script")
    assert not parsed.of("link")
    assert not parsed.of("iframe")
    for tag, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert value.startswith(("data:image/png", "#")), (tag, value)
    assert b"url(" not in made
    assert b"@import" not in made
    assert not re.search(rb"https?://", made)
    policy = [each["content"] for each in parsed.of("meta") if each.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_it_shows_every_variant_every_limit_and_every_layer(made):
    shown, given = Parsed(made).text, report()
    assert headline(given) in shown
    for variant in given.figures.variants:
        assert variant.id in shown
        assert f"{variant.bytes:,}" in shown
    for verdict in given.verdicts:
        assert verdict.gate in shown
    for row in given.layers.layers:
        assert row.name in shown
    assert "S8S8" in shown
    assert given.sensitivity.advice()[1:] in shown


def test_every_chart_has_words_for_those_who_cannot_see_it(made):
    charts = [each for each in Parsed(made).of("svg") if "aria-hidden" not in each]
    assert len(charts) == 10
    for each in charts:
        assert each["role"] == "img"
        assert len(each["aria-label"]) > 30
    assert "tflite-int8 20,000 bytes" in charts[1]["aria-label"]


@pytest.mark.parametrize("classes", [HOSTILE, tuple(f"class {at}" for at in range(150)), ("a", "b")])
def test_hostile_many_and_few_class_names(classes):
    given = report(classes)
    content = page(given, {at: shown_item(np.zeros((4, 4, 1), np.uint8)) for at in range(ITEMS)})
    parsed = Parsed(content)
    assert not parsed.of("script")
    assert not [tag for tag, attributes in parsed.tags if any(name.startswith("on") for name in attributes)]
    for each in given.mistakes.classes:
        assert each.name in parsed.text
    assert "<script" not in markdown(given).decode()


def test_names_of_variants_and_texts_of_the_recipe_are_escaped_too():
    given = report()
    recipe = replace(given.recipe, intended_use="<img src=x onerror=y>", licence="<b>", name="<i>")
    assert Parsed(page(replace(given, recipe=recipe), {})).of("img") == []


def test_size(made):
    assert len(made) <= LARGEST_PAGE
    assert len(page(report(tuple(f"class {at}" for at in range(1000))), {})) <= 400_000


def test_it_is_the_same_every_time(made):
    assert page(report(), {}) == made
    assert markdown(report()) == markdown(report())
    assert report().json() == report().json()


def test_pictures_are_shown_only_if_they_are_given(made):
    given = report()
    wanted = {each.item for each in given.mistakes.lost} | {each.item for each in given.mistakes.flips}
    pictures = {at: shown_item(np.full((8, 8, 1), at % 256, np.uint8)) for at in wanted}
    assert Parsed(made).of("img") == []
    assert b"data:image" not in made
    shown = Parsed(page(given, pictures)).of("img")
    assert {each["src"] for each in shown} == set(pictures.values())
    assert all(each["alt"] for each in shown)


def test_neither_names_of_files_nor_folders_of_the_maker_are_shown(made):
    given = report()
    recipe = replace(given.recipe, data=replace(given.recipe.data, path="/secret place/data.zip"))
    for content in (made, replace(given, recipe=recipe).json(), page(replace(given, recipe=recipe), {})):
        assert b"private name" not in content
        assert b"secret place" not in content


def test_a_missed_limit_stands_in_the_headline_and_says_what_to_change():
    given = report()
    verdicts = judge(given.figures, Gates(min_accuracy=0.9999, min_parity=0.0, max_int8_drop=1.0))
    missed = replace(given, verdicts=verdicts)
    first = missed.missed[0]
    assert len(missed.missed) >= 4
    assert headline(missed).startswith(
        f"Not to be shipped: {len(missed.missed)} of {len(verdicts)} limits are missed ({first.gate} of {first.subject}"
    )
    parsed = Parsed(page(missed, {}))
    assert [each for each in parsed.of("p") if each.get("class") == "verdict missed"]
    assert first.knob in parsed.text
    assert "| min_accuracy | tflite-int8 |" in markdown(missed).decode()


def test_what_was_not_measured_is_left_out():
    nothing = replace(report().sensitivity, alone=(), together=())
    bare = report(histories={}, sensitivity=nothing, integer_types=(), layers=Layers(0, {}, ()))
    parsed = Parsed(page(bare, {}))
    known = {attributes.get("id") for _, attributes in parsed.tags}
    assert not known & {"training", "sensitivity", "types", "layers"}
    assert {"variants", "limits", "classes", "lost", "flips", "confidence", "origin"} <= known


def test_json_of_a_report_holds_all_of_it():
    value = json.loads(report().json())
    assert {"figures", "layers", "mistakes", "reliability", "verdicts", "histories"} <= set(value)
    assert value["data"]["unreadable"] == 1
    assert len(value["layers"]["layers"]) == 20


def test_a_recording_is_shown_as_its_spectrum_and_a_row_as_its_values():
    import base64
    import io

    from PIL import Image

    rate, tone = 8000, 3000
    wave = (np.sin(2 * np.pi * tone * np.arange(rate) / rate) * 20_000).astype(np.int16)
    address = shown_item(wave)
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    # 3 of 4 kHz: a quarter from the top.
    brightest = pixels.astype(float).mean(1).argmax() / len(pixels)
    assert brightest == pytest.approx(0.25, abs=0.05)
    assert len(address) < 4000
    assert shown_item(np.array([1.0, 2.5, np.nan])) == "1, 2.5, nan"
    assert shown_item(np.arange(20.0)).endswith("…")
    assert shown_item(np.zeros(5, np.int16)).startswith("data:image/png")


def test_the_history_of_a_training_is_read(tmp_path):
    epochs = [{"epoch": 1, "loss": 2.0, "validation": 0.5}]
    (tmp_path / "history.json").write_text(json.dumps(epochs))
    assert load_history(tmp_path / "history.json") == (Epoch(1, 2.0, 0.5),)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.967, 0.993, [0.97, 0.98, 0.99]),
        (3, 3, [3]),
        (-10, 48, [0, 20, 40]),
    ],
)
def test_ticks_are_round_and_inside(low, high, ticks):
    found = Scale(low, high, 0, 100).ticks()
    assert [value for value in ticks if not any(abs(value - each) < 1e-9 for each in found)] == []
    assert all(low - 1e-9 <= each <= high + 1e-9 for each in found)
    assert len(found) <= 8


def test_long_names_lose_their_middle():
    assert shortened("features.12.convolution", 12) == "featur…ution"
    assert shortened("short", 12) == "short"


def candidates() -> tuple[Candidate, ...]:
    small, large = ResNetwork(widths=(8, 16, 32)), ResNetwork()
    return (
        Candidate(large, Cost(78_000, 80_000, 86_000, 90.0), 0.86),
        Candidate(small, Cost(20_000, 24_000, 25_000, 40.0), 0.80),
        Candidate(SeparableNetwork(32, (64,), (4,)), Cost(22_000, 30_000, 31_000, 60.0), 0.78),
        Candidate(ResNetwork(blocks=(2, 2, 2)), Cost(170_000, 180_000, 190_000, 200.0)),
    )


def test_a_search_for_the_student_is_shown_as_pictures_and_figures():
    recipe = load_recipe(DIGITS)
    student = replace(recipe.student, network=None, budget=Budget((ResNetwork(),), 100_000))
    searched = report(candidates=candidates(), recipe=replace(recipe, student=student))
    parsed = Parsed(page(searched, {}))
    assert "resnet 16-32-64 x 1-1-1" in parsed.text
    assert "3 networks were trained" in parsed.text
    text = markdown(searched).decode()
    assert "| resnet 8-16-32 x 1-1-1 | 80.0% | 20,000 | 24,000 | 25,000 | 40 us |" in text


def test_a_candidate_that_another_beats_on_both_axes_is_a_ring():
    parsed = ElementTree.fromstring(standing_alone(size_frontier(candidates())))
    marks = [each.get("class", "") for each in parsed.iter() if "mark" in each.get("class", "")]
    assert sorted("ring" in each for each in marks) == [False, False, True]
