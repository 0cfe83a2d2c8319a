from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from converters import load_recipe
from converters.recipe import ConvNetwork, Teacher, check_recipe
from edgeinfer.errors import RecipeError

DIGITS = Path(__file__).parents[2] / "sample_apps/digits/recipe.toml"


def test_the_demo_s_recipe_is_valid_and_knows_its_folder():
    recipe = load_recipe(DIGITS)
    assert recipe.name == "digits"
    assert recipe.resolve("x.zip") == DIGITS.parent / "x.zip"
    assert [step.op for step in recipe.input.steps()] == ["decode", "resize", "scale", "normalize", "layout"]


def test_the_digest_does_not_depend_on_where_the_recipe_lies():
    recipe = load_recipe(DIGITS)
    assert recipe.digest() == replace(recipe, folder="/elsewhere").digest()
    here, there = (replace(recipe, teacher=Teacher(path=f"{folder}/t.pt2")) for folder in ("/here", "/there"))
    assert here.digest() == there.digest()
    assert recipe.digest() != replace(recipe, seed=1).digest()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[input]", "[inptu]", "unknown key 'inptu'; did you mean 'input'?"),
        ("[gates]", "[budgets]\np99_ms = 0\n[gates]", "recipe.budgets.p99_ms: expected above 0"),
        ("color =", "jpeg_oversampling = 65\ncolor =", "recipe.input.jpeg_oversampling: expected 1 to 64"),
        ("epochs = 60", "epoch = 40", "unknown key 'epoch'; did you mean 'epochs'?"),
        (
            "epochs = 60",
            'epochs = "40"',
            "recipe.teacher.training.epochs: expected a whole number, found '40'",
        ),
        ("epochs = 60", "epochs = 0", "recipe.teacher.training"),
        ('name = "digits"', 'name = "my digits"', "recipe.name: expected letters, digits"),
        ('name = "digits"', 'name = "../digits"', "recipe.name: expected letters, digits"),
        ('name = "digits"', 'top = 0\nname = "digits"', "recipe.top: expected 1 or more, found 0"),
        ("height = 8", "height = 20_000", "sides of 4 to 1024"),
        ('name = "digits"\n', "", "recipe lacks the field 'name'"),
        ("mean = [0.5]", "mean = [0.5, 0.5]", "recipe.input.mean: expected 1, found 2 values"),
        ("std = [0.5]", "std = [0.0]", "recipe.input.std: expected 0.001 to 1000"),
        ('source = "digits"', 'source = "cloud"', "expected 'digits' or 'folder' or 'csv', found 'cloud'"),
        (
            'source = "digits"',
            'source = "folder"',
            "recipe.data.path: expected set for every source but 'digits'",
        ),
        ("test = 0.3334", "test = 0.9", "recipe.data.test + data.validation"),
        ("width = 15", "width = 0", "recipe.student.network"),
        ("blocks = [1, 2]", "blocks = [1, 1, 1, 1, 1]", "fewer for this input"),
        ("temperature = 3.0", "temperature = nan", "expected a finite number, found nan"),
        ('name = "digits"', 'seed = -1\nname = "digits"', "recipe.seed: expected 0 to 2147483647, found -1"),
        ('name = "digits"', f'seed = {10**400}\nname = "digits"', "recipe.seed: expected a whole number"),
        ('name = "digits"', f'seed = {"9" * 5000}\nname = "digits"', "is not valid TOML"),
        ('name = "digits"', f"name = {'[' * 100_000}", "is not valid TOML"),
        ("epochs = 60", "epochs = 60\nlearning_rate = 1e300", "learning_rate: expected 1e-09 to 10"),
        ("epochs = 60", "epochs = 60\nweight_decay = -1.0", "weight_decay: expected 0 to 10"),
        ("epochs = 60", "epochs = 1000000000000000", "recipe.teacher.training.epochs"),
        ("epochs = 60", "epochs = 60\nbatch_size = 100000", "batch_size: expected 2 to 4096"),
        ("width = 15", "width = 1000000000", "widths of 1 to 4096"),
        ("std = [0.5]", "std = [1e-300]", "recipe.input.std: expected 0.001 to 1000"),
        ("temperature = 3.0", "temperature = 1e200", "recipe.student.temperature: expected 0.01 to 100"),
        ("rotate = 8.5", "rotate = -1.0", "recipe.augment.rotate: expected 0 to 180"),
        ('filter = "box"', 'filter = "cubic"', "expected 'nearest' or 'box'"),
        ('version = "1.0.0"', 'version = ""', "recipe.version: expected 1 to 100 printable characters"),
        ('version = "1.0.0"', 'version = "1\\n2"', "recipe.version: expected 1 to 100 printable characters"),
        ("[gates]", "[gates", "is not valid TOML"),
        (
            "[gates]",
            '[quantize]\ncalibration = "entropy"\n[quantize.qat]\nepochs = 1\n[gates]',
            "recipe.quantize.calibration: expected min-max beside [quantize.qat], which learns the ranges",
        ),
        (
            "[gates]",
            "[quantize]\nper_channel = false\n[quantize.qat]\nepochs = 1\n[gates]",
            "recipe.quantize.per_channel: expected true",
        ),
        ('name = "digits"', 'name = "digits"\nfolder = "/"', "unknown key 'folder'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(tmp_path, old, new, message):
    text = DIGITS.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_says_so(tmp_path):
    with pytest.raises(RecipeError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="found a folder, pipe or device"):
        load_recipe(tmp_path)


def test_a_teacher_is_a_file_or_is_trained_but_not_both():
    recipe = load_recipe(DIGITS)
    with pytest.raises(RecipeError, match=r"expected one of path, factory.*found path and network"):
        check_recipe(replace(recipe, teacher=replace(recipe.teacher, path="teacher.pt2")))
    with pytest.raises(RecipeError, match="expected both, to train a teacher first"):
        check_recipe(replace(recipe, teacher=replace(recipe.teacher, training=None)))
    check_recipe(replace(recipe, student=replace(recipe.student, network=ConvNetwork(4, (1,)))))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[drift]\nsymbols = 11", "recipe.drift.symbols: expected 2 to 10, found 11"),
        ("[drift]\nprojections = -1", "recipe.drift.projections: expected 0 to 20"),
        ("[cascade]\nthresholds = []", "recipe.cascade.thresholds: expected 1 to 1000 shares"),
        ("[cascade]\nthresholds = [0.9, 0.5]", "recipe.cascade.thresholds: expected 1 to 1000 shares"),
        ("[cascade]\nthresholds = [0.5, 1.5]", "of 0 to 1, ascending"),
        ("[cascade]\ntarget_accuracy = 98", "recipe.cascade.target_accuracy: expected a share of 0 to 1"),
        ("[cascade]\nmax_escalation = -0.1", "recipe.cascade.max_escalation: expected a share of 0 to 1"),
        ("[card]\nlimitations = 'none'", "recipe.card.limitations: expected a list"),
        ("[card]\nlicense = 'x'", "unknown key 'license'"),
    ],
)
def test_wrong_wishes_for_the_device_are_refused(tmp_path, section, message):
    path = tmp_path / "recipe.toml"
    without_card = re.sub(r"\[card\]\n(.+\n)+", "", DIGITS.read_text())
    path.write_text(f"{without_card}\n{section}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
