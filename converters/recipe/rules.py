"""Rules between the fields of a recipe."""

from __future__ import annotations

import re

from converters.recipe.data import Data
from converters.recipe.input import Input
from converters.recipe.models import LARGEST_BATCH, Network, Training
from converters.recipe.recipe import Recipe
from edgeinfer.bundle import MAX_PIXELS, NAME_PATTERN, Dialect, encode
from edgeinfer.errors import RecipeError

DIALECT = Dialect(RecipeError, forbid_unknown=True, next_step="see docs/recipes.md")
_LONGEST_SIDE = 1024


def check_recipe(recipe: Recipe) -> None:
    """Hold a recipe against the rules between its fields.

    Raises:
        RecipeError: The first rule that is broken.
    """
    named = re.fullmatch(NAME_PATTERN, recipe.name) is not None
    _require(named, "name", repr(recipe.name), "letters, digits, '.', '_' or '-'")
    _require(recipe.top > 0, "top", recipe.top, "1 or more")
    _require(0 <= recipe.seed < 2**31, "seed", recipe.seed, f"0 to {2**31 - 1}")
    items = recipe.quantize.calibration_items
    _require(items > 0, "quantize.calibration_items", items, "1 or more")
    shorter = min(recipe.input.height, recipe.input.width)
    limits = {"rotate": 180, "crop": shorter - 1, "cutout": shorter}
    for name, value in encode(recipe.augment).items():
        most = limits.get(name, 1)
        _require(0 <= value <= most, f"augment.{name}", value, f"0 to {most}")
    _check_data(recipe.data)
    _check_input(recipe.input)
    teacher, student = recipe.teacher, recipe.student
    given = [name for name in ("path", "network", "training") if getattr(teacher, name) is not None]
    good = given in (["path"], ["network", "training"])
    _require(good, "teacher", " and ".join(given) or "nothing", "either path, or network and training")
    for part, network, training in (
        ("teacher", teacher.network, teacher.training),
        ("student", student.network, student.training),
    ):
        if network is not None:
            _check_network(part, network, recipe.input)
        if training is not None:
            _check_training(f"{part}.training", training)
    weight, temperature = student.distillation_weight, student.temperature
    _require(0 <= weight <= 1, "student.distillation_weight", weight, "0 to 1")
    _require(0.01 <= temperature <= 100, "student.temperature", temperature, "0.01 to 100")


def _check_training(where: str, training: Training) -> None:
    _require(0 < training.epochs <= 100_000, f"{where}.epochs", training.epochs, "1 to 100000")
    _require(
        1 < training.batch_size <= LARGEST_BATCH,
        f"{where}.batch_size",
        training.batch_size,
        f"2 to {LARGEST_BATCH}",
    )
    _require(
        0 < training.learning_rate <= 10,
        f"{where}.learning_rate",
        training.learning_rate,
        "above 0, at most 10",
    )
    _require(0 <= training.weight_decay <= 10, f"{where}.weight_decay", training.weight_decay, "0 to 10")


def _check_data(data: Data) -> None:
    _require(
        (data.source == "folder") == (data.path is not None),
        "data.path",
        data.path,
        "set for source 'folder'",
    )
    _require(0 < data.validation < 1, "data.validation", data.validation, "a share between 0 and 1")
    _require(0 < data.test < 1, "data.test", data.test, "a share between 0 and 1")
    _require(data.test + data.validation < 1, "data.test + data.validation", "1 or more", "room for training")
    _require(0 <= data.max_unreadable < 1, "data.max_unreadable", data.max_unreadable, "a share below 1")
    limit = data.limit_per_class
    _require(limit is None or limit >= 3, "data.limit_per_class", limit, "3 or more, one for each split")


def _check_input(input_: Input) -> None:
    for name, values in (("mean", input_.mean), ("std", input_.std)):
        _require(len(values) == input_.channels, f"input.{name}", f"{len(values)} values", input_.channels)
    _require(
        0.001 <= min(input_.std) <= max(input_.std) <= 1000,
        "input.std",
        list(input_.std),
        "0.001 to 1000 each",
    )
    _require(max(map(abs, input_.mean)) <= 1000, "input.mean", list(input_.mean), "-1000 to 1000 each")
    _require(0 < input_.max_pixels <= MAX_PIXELS, "input.max_pixels", input_.max_pixels, f"1 to {MAX_PIXELS}")
    good = 4 <= min(input_.height, input_.width) <= max(input_.height, input_.width) <= _LONGEST_SIDE
    _require(good, "input", f"{input_.height} x {input_.width}", f"sides of 4 to {_LONGEST_SIDE}")


def _check_network(part: str, network: Network, input_: Input) -> None:
    good = (
        0 < network.width <= 4096
        and bool(network.blocks)
        and 0 < min(network.blocks) <= max(network.blocks) <= 64
    )
    _require(good, f"{part}.network", network, "a width of 1 to 4096 and blocks of 1 to 64")
    smallest = min(input_.height, input_.width) >> (len(network.blocks) - 1)
    _require(smallest > 0, f"{part}.network.blocks", f"{len(network.blocks)} stages", "fewer for this input")


def _require(good: object, where: str, found: object, expected: object) -> None:
    if not good:
        raise RecipeError(f"recipe.{where}", found=found, expected=expected, next_step=DIALECT.next_step)
