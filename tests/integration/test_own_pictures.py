"""Conversions of a user's own pictures, with a teacher of its own and with the user's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgeinfer as ei
from converters import convert
from converters.recipe import (
    Augment,
    ConvNetwork,
    Data,
    Gates,
    ImageInput,
    Quantize,
    Recipe,
    Student,
    Teacher,
    Training,
)

OPEN = Gates(max_int8_drop=1.0, min_parity=0.9, min_int8_parity=0.0, min_int8_agreement=0.0)
# Timing several takes a process each.
ONE_TYPE = Quantize(onnx_types=("U8S8",))

EASY, LONGER = ConvNetwork(8, (1, 1)), Training(20, batch_size=16, learning_rate=0.01)


def folder_recipe(folder: Path, **changes: object) -> Recipe:
    recipe = Recipe(
        name="own",
        version="1",
        licence="CC0-1.0",
        intended_use="Tests.",
        data=Data("folder", path="pictures", validation=0.25, test=0.25),
        input=ImageInput(32, 32, "RGB", (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        teacher=Teacher(network=ConvNetwork(8, (1, 1)), training=Training(4), views=4),
        student=Student(Training(4), ConvNetwork(8, (1, 1, 1))),
        augment=Augment(flip=True, shift=0.1),
        gates=OPEN,
        quantize=ONE_TYPE,
        folder=str(folder),
    )
    return replace(recipe, **changes)


def test_a_folder_of_pictures_becomes_a_bundle(tmp_path):
    """Three plain colours, in pictures of uneven size: easy enough to learn in seconds."""
    generator = np.random.default_rng(0)
    for at in range(90):
        colour = np.zeros(3)
        colour[at % 3] = 160
        pixels = np.clip(colour + generator.normal(40, 30, (30 + at, 50, 3)), 0, 255).astype(np.uint8)
        path = tmp_path / "pictures" / ("red", "green", "blue")[at % 3] / f"{at}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    recipe = folder_recipe(
        tmp_path, teacher=Teacher(network=EASY, training=LONGER), student=Student(LONGER, EASY)
    )
    outcome = convert(recipe, tmp_path / "own.eib", tmp_path / "work")
    assert outcome.figures.student_accuracy.value > 0.9
    model = ei.load(outcome.bundle)
    assert model.manifest.outputs[0].labels == ("blue", "green", "red")
    assert model.predict(np.full((20, 70, 3), (40, 200, 40), np.uint8)).label == "green"


@pytest.mark.parametrize("given", ["trained", "loaded"])
def test_a_slice_of_cifar_10_with_a_teacher_of_its_own_and_with_the_user_s(tmp_path, shared, given):
    data = Data(
        "folder", path=str(shared / "data/cifar10-train.zip"), limit_per_class=40, validation=0.2, test=0.2
    )
    recipe = folder_recipe(tmp_path, data=data)
    if given == "loaded":
        recipe = replace(recipe, teacher=Teacher(path=str(shared / "models/cifar10-resnet9.pt2"), views=4))
    outcome = convert(recipe, tmp_path / "cifar.eib", tmp_path / "work")
    model = ei.load(outcome.bundle)
    assert model.manifest.lineage.splits == {"train": 260, "validation": 60, "test": 80}
    assert model.manifest.outputs[0].labels[:3] == ("airplane", "automobile", "bird")
    if given == "loaded":
        # This teacher was trained on these pictures, so it knows them.
        assert outcome.figures.teacher_accuracy.value > 0.9
        assert outcome.figures.teacher_parameters > 3_000_000


def test_the_shipped_report_names_no_folder_and_no_picture_of_the_maker(tmp_path):
    generator = np.random.default_rng(1)
    for at in range(40):
        path = tmp_path / "secret place/pictures" / "ab"[at % 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (8, 8), np.uint8)).save(path)
    (tmp_path / "secret place/pictures/a/private name.png").write_bytes(b"")
    data = Data("folder", path=str(tmp_path / "secret place/pictures"), max_unreadable=0.1, validation=0.2)
    recipe = folder_recipe(tmp_path, data=data, teacher=Teacher(network=EASY, training=Training(1, 8)))
    outcome = convert(recipe, tmp_path / "b.eib", tmp_path / "work")
    shipped = outcome.bundle.read_bytes() + outcome.report.read_bytes()
    assert b"secret place" not in shipped
    assert b"private name" not in shipped
    assert "private name" in (tmp_path / "work/data/data.json").read_text()
    with ei.open_bundle(outcome.bundle) as bundle:
        page = bundle.read(bundle.manifest.documents["report.html"].blob)
        content = [bundle.read(blob) for blob in bundle.manifest.blobs().values()]
    assert b"<h1>own 1</h1>" in page
    # The page beside the bundle shows what is named wrongly; what travels shows nobody's data.
    assert not [each for each in content if b"data:image" in each]
    shown = re.findall(rb'src="(data:image/png[^"]+)"', outcome.report.read_bytes())
    wrong = json.loads((tmp_path / "work/report/report.json").read_bytes())["mistakes"]
    assert len(shown) == len(wrong["lost"]) + len(wrong["flips"])
