"""Rules between the fields of a recipe."""

from __future__ import annotations

import re

from converters.recipe.data import Data
from converters.recipe.gates import Gates
from converters.recipe.input import Input, TableInput
from converters.recipe.input_rules import check_augment, check_input
from converters.recipe.model_rules import check_student, check_teacher
from converters.recipe.profile_rules import check_profile
from converters.recipe.quantization_rules import check_quantize
from converters.recipe.recipe import Recipe
from converters.recipe.require import require
from edgeinfer.bundle import NAME_PATTERN, Cloud, encode

# By source of the data: the kinds of input that it can feed.
_KINDS = {"digits": ("image",), "folder": ("image", "audio"), "csv": ("table",)}


def check_recipe(recipe: Recipe) -> None:
    """Hold a recipe against the rules between its fields.

    Raises:
        RecipeError: The first rule that is broken.
    """
    named = re.fullmatch(NAME_PATTERN, recipe.name) is not None
    require(named, "name", repr(recipe.name), "letters, digits, '.', '_' or '-'")
    good = 0 < len(recipe.version) <= 100 and recipe.version.isprintable()
    require(good, "version", repr(recipe.version[:60]), "1 to 100 printable characters")
    require(recipe.top > 0, "top", recipe.top, "1 or more")
    require(0 <= recipe.seed < 2**31, "seed", recipe.seed, f"0 to {2**31 - 1}")
    _check_gates(recipe.gates)
    _check_data(recipe.data, recipe.input)
    check_input(recipe.input)
    check_augment(recipe.augment, recipe.input)
    check_teacher(recipe.teacher, recipe.input)
    check_student(recipe.student, recipe.teacher, recipe.input)
    check_quantize(recipe.quantize, recipe.student)
    check_profile(recipe.drift, recipe.cascade)
    if recipe.cloud is not None:
        _check_cloud(recipe.cloud)
    for name, value in (encode(recipe.budgets) or {}).items():
        require(value > 0, f"budgets.{name}", value, "above 0")


def _check_cloud(cloud: Cloud) -> None:
    """What the bundle would refuse after the training."""
    require(set(cloud.inputs) == {"input"}, "cloud.inputs", sorted(cloud.inputs), ["input"])
    outputs = {"logits", "penultimate"}
    good = "logits" in cloud.outputs and set(cloud.outputs) <= outputs
    require(
        good, "cloud.outputs", sorted(cloud.outputs), "logits, and penultimate where there are projections"
    )


def _check_gates(gates: Gates) -> None:
    for name, value in encode(gates).items():
        if name in ("max_bytes", "max_latency_us", "max_latency_ratio"):
            require(value > 0, f"gates.{name}", value, "above 0")
        else:
            require(0 <= value <= 1, f"gates.{name}", value, "a share, 0 to 1")


def _check_data(data: Data, input_: Input) -> None:
    require(
        (data.source == "digits") == (data.path is None),
        "data.path",
        data.path,
        "set for every source but 'digits'",
    )
    kinds = _KINDS[data.source]
    require(input_.kind in kinds, "input.kind", input_.kind, f"{' or '.join(kinds)} for {data.source!r}")
    table = data.source == "csv"
    require(table == (data.label is not None), "data.label", data.label, "a column for source 'csv' alone")
    if isinstance(input_, TableInput):
        named = data.label not in (*input_.numeric, *input_.categorical)
        require(
            named, "input", f"data.label {data.label!r} among the columns", "columns that are not the answer"
        )
    good = len(data.delimiter) == 1 and data.delimiter not in '"\r\n'
    require(good, "data.delimiter", repr(data.delimiter), "one character")
    require(0 < data.validation < 1, "data.validation", data.validation, "a share between 0 and 1")
    require(0 < data.test < 1, "data.test", data.test, "a share between 0 and 1")
    require(data.test + data.validation < 1, "data.test + data.validation", "1 or more", "room for training")
    require(0 <= data.max_unreadable < 1, "data.max_unreadable", data.max_unreadable, "a share below 1")
    limit = data.limit_per_class
    require(limit is None or limit >= 3, "data.limit_per_class", limit, "3 or more, one for each split")
