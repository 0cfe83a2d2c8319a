"""From a cloud model to a bundle: recipe, data, teacher, student, export, quantize, verify, gate, package."""

from converters.pipeline import Outcome, convert
from converters.recipe import Recipe, load_recipe

__all__ = ["Outcome", "Recipe", "convert", "load_recipe"]
