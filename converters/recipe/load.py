"""Recipes from TOML files."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.recipe.recipe import Recipe
from converters.recipe.require import DIALECT
from converters.recipe.rules import check_recipe
from edgeinfer.bundle import decode
from edgeinfer.errors import RecipeError


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe that trains from a TOML file.

    Raises:
        RecipeError: It cannot be read, or a key is unknown, missing, mistyped or out of range.
    """
    table = read_table(path)
    if "model" in table:
        raise RecipeError(
            f"{path} is the recipe of a ready model: it has a table [model]",
            next_step="hand it to `edgeinfer convert` or converters.load_ready_recipe",
        )
    if "folder" in table:
        raise RecipeError("recipe has the unknown key 'folder'", next_step="paths are relative to the recipe")
    recipe = decode(Recipe, table, where="recipe", dialect=DIALECT)
    recipe = replace(recipe, folder=str(Path(path).parent))
    check_recipe(recipe)
    return recipe


def read_table(path: str | Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        RecipeError: It cannot be read, or is no TOML.
    """
    path = Path(path)
    if path.suffix.lower() in (".onnx", ".tflite"):
        raise RecipeError(
            f"{path} is a model, not a recipe",
            expected="a TOML file whose [model] names it",
            next_step="see docs/ready-models.md",
        )
    try:
        if path.exists() and not path.is_file():
            raise RecipeError(
                f"{path} is no recipe", found="a folder, pipe or device", expected="a TOML file"
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"cannot read recipe {path} ({error.strerror})", next_step="check the path"
        ) from error
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise RecipeError(f"recipe {path} is not valid TOML ({error})", next_step="mend it") from error
