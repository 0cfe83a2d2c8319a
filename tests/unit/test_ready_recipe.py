from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters import load_ready_recipe, load_recipe
from edgeinfer.errors import RecipeError

SAMPLES = Path(__file__).parents[2] / "sample_apps/ready"
DETECTOR, CLASSIFIER = SAMPLES / "face-detector.toml", SAMPLES / "classifier.toml"


def test_the_samples_are_valid_and_know_their_folder():
    for path in (DETECTOR, CLASSIFIER):
        recipe = load_ready_recipe(path)
        assert recipe.resolve(recipe.output.labels).parent == path.parent
    assert load_ready_recipe(DETECTOR).resolve("face-labels.txt").read_text().split() == [
        "background",
        "face",
    ]


def test_the_digest_does_not_depend_on_where_things_lie():
    recipe = load_ready_recipe(DETECTOR)
    moved = replace(
        recipe,
        folder="/elsewhere",
        model=replace(recipe.model, path="/a/face-rfb-320.onnx"),
        quantize=replace(recipe.quantize, calibration="/b/calibration", check="/c/faces"),
    )
    assert recipe.digest() == moved.digest()
    assert recipe.digest() != replace(recipe, seed=1).digest()


def test_each_shape_of_recipe_names_the_other():
    with pytest.raises(RecipeError, match=r"recipe of a ready model.*hand it to `edgeinfer convert`"):
        load_recipe(CLASSIFIER)
    with pytest.raises(RecipeError, match=r"unknown key '(card|data)'"):
        load_ready_recipe(SAMPLES.parent / "digits/recipe.toml")


def test_a_model_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match=r"is a model, not a recipe.*docs/ready-models.md"):
        load_recipe(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[twin]", "[twn]", "unknown key 'twn'; did you mean 'twin'?"),
        (
            'path = "face-rfb-320.onnx"',
            'path = "face.pt"',
            "recipe.model.path: expected a .onnx or .tflite file",
        ),
        (
            'path = "face-rfb-320.tflite"',
            'path = "other.onnx"',
            "recipe.twin.path: expected the other format",
        ),
        ('name = "face-detector"', 'name = "../x"', "recipe.name: expected letters"),
        ("mean = [127.0, 127.0, 127.0]", "mean = [127.0]", "recipe.input.mean: expected 3, found 1 values"),
        ("std = [128.0, 128.0, 128.0]", "std = [0.0, 1.0, 1.0]", "recipe.input.std: expected 0.001 to 1000"),
        ("scale = 1.0", "scale = 0.0", "recipe.input.scale"),
        ("scale = 1.0", "crop = 0.0", "recipe.input.crop: expected a share"),
        ("scale = 1.0", 'crop = 0.5\nresize = "letterbox"', "recipe.input.crop"),
        ("scale = 1.0", "height = 0", "recipe.input.height"),
        ("scale = 1.0", "max_pixels = 0", "recipe.input.max_pixels"),
        ('answer = "detections"', 'answer = "logits"', "a table for answer 'detections', and for no other"),
        ('answer = "detections"', 'answer = "boxes"', "expected 'logits' or 'probabilities'"),
        ('names = ["scores", "offsets"]', 'names = ["a", "a"]', "recipe.output.names: expected different"),
        ('names = ["scores", "offsets"]', "top = 0", "recipe.output.top"),
        ('names = ["scores", "offsets"]', "temperature = 0.0", "recipe.output.temperature"),
        ("least = 0.7", "least = 1.7", "recipe.detections.least: expected 0 to 1, found 1.7"),
        ("iou = 0.3", "iou = 0.3\nk = 0", "recipe.detections.k"),
        ("iou = 0.3", "iou = 0.3\ncandidates = 0", "recipe.detections.candidates"),
        ('check = "faces"', "items = 0", "recipe.quantize.items"),
        ('check = "faces"', "min_agreement = 2.0", "recipe.quantize.min_agreement"),
        ('check = "faces"', 'check = "faces"\n[runtimes]\nonnxruntime = "new"', "a release such as 1.20"),
        ('name = "face-detector"', 'name = "x"\nseed = -1', "recipe.seed"),
        ('name = "face-detector"', 'name = "x"\nfolder = "/"', "unknown key 'folder'"),
        ("[input]", "[input", "is not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(tmp_path, old, new, message):
    text = DETECTOR.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        load_ready_recipe(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boxes_need_a_picture(tmp_path):
    lines = DETECTOR.read_text().split("[input]")
    rest = lines[1].split("[output]")
    (tmp_path / "recipe.toml").write_text(f"{lines[0]}[output]{rest[1]}")
    with pytest.raises(RecipeError, match="so that boxes have a picture"):
        load_ready_recipe(tmp_path / "recipe.toml")
