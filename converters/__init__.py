"""From a cloud model to a bundle: a recipe, its steps (`converters.pipeline` has them in order), a report.

    from pathlib import Path
    from converters import convert, load_recipe

    convert(load_recipe("recipe.toml"), Path("model.eib"), work=Path("build/model"))

A model that is there already takes `load_ready_recipe` and `convert_ready`.

Importing this package loads nothing else: PyTorch and the exporters are imported when they are first used.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from converters.data.dataset import Examples
    from converters.pipeline import Outcome, convert, load_examples
    from converters.ready import ReadyOutcome, ReadyRecipe, convert_ready, load_ready_recipe
    from converters.recipe import Recipe, load_recipe

_HOMES = {
    "Examples": "data.dataset",
    "Outcome": "pipeline",
    "ReadyOutcome": "ready",
    "ReadyRecipe": "ready",
    "Recipe": "recipe",
    "convert": "pipeline",
    "convert_ready": "ready",
    "load_examples": "pipeline",
    "load_ready_recipe": "ready",
    "load_recipe": "recipe",
}

__all__ = [
    "Examples",
    "Outcome",
    "ReadyOutcome",
    "ReadyRecipe",
    "Recipe",
    "convert",
    "convert_ready",
    "load_examples",
    "load_ready_recipe",
    "load_recipe",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"converters.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters' has no attribute {name!r}")
