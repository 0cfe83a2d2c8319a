"""What a broken rule of a recipe says."""

from __future__ import annotations

from edgeinfer.bundle import Dialect
from edgeinfer.errors import RecipeError

DIALECT = Dialect(RecipeError, forbid_unknown=True, next_step="see docs/recipes.md")


def require(good: object, where: str, found: object, expected: object, *, dialect: Dialect = DIALECT) -> None:
    """Raise a RecipeError that names the key unless `good`; the dialect says where to read more."""
    if not good:
        raise RecipeError(f"recipe.{where}", found=found, expected=expected, next_step=dialect.next_step)
