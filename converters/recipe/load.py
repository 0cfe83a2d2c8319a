"""Recipes from TOML files."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from converters.recipe.recipe import Recipe
from converters.recipe.require import DIALECT
from converters.recipe.rules import check_recipe
from edgeinfer.bundle import decode
from edgeinfer.errors import RecipeError


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        RecipeError: It cannot be read, or a key is unknown, missing, mistyped or out of range.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise RecipeError(
                f"{path} is no recipe", found="a folder, pipe or device", expected="a TOML file"
            )
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"cannot read recipe {path} ({error.strerror})", next_step="check the path"
        ) from error
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise RecipeError(f"recipe {path} is not valid TOML ({error})", next_step="mend it") from error
    if "folder" in table:
        raise RecipeError("recipe has the unknown key 'folder'", next_step="paths are relative to the recipe")
    recipe = decode(Recipe, table, where="recipe", dialect=DIALECT)
    recipe = replace(recipe, folder=str(path.parent))
    check_recipe(recipe)
    return recipe
