"""From a cloud model to a bundle: recipe, data, teacher, student, export, quantize, verify, gate, package.

    from pathlib import Path
    from converters import convert, load_recipe

    convert(load_recipe("recipe.toml"), Path("model.eib"), work=Path("build/model"))

Importing this package loads nothing else: PyTorch and the exporters are imported when they are first used.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from converters.data.dataset import Examples
    from converters.pipeline import Outcome, convert, load_examples
    from converters.recipe import Recipe, load_recipe

_HOMES = {
    "Examples": "data.dataset",
    "Outcome": "pipeline",
    "Recipe": "recipe",
    "convert": "pipeline",
    "load_examples": "pipeline",
    "load_recipe": "recipe",
}

__all__ = ["Examples", "Outcome", "Recipe", "convert", "load_examples", "load_recipe"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"converters.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters' has no attribute {name!r}")
