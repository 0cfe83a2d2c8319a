"""A model that is there already: cleaned, quantized, wrapped and verified, without training."""

from converters.ready.convert import ReadyOutcome, convert_ready
from converters.ready.recipe import (
    Detections,
    ModelFile,
    ReadyInput,
    ReadyOutput,
    ReadyQuantize,
    ReadyRecipe,
    Runtimes,
)
from converters.ready.rules import check_ready, load_ready_recipe

__all__ = [
    "Detections",
    "ModelFile",
    "ReadyInput",
    "ReadyOutcome",
    "ReadyOutput",
    "ReadyQuantize",
    "ReadyRecipe",
    "Runtimes",
    "check_ready",
    "convert_ready",
    "load_ready_recipe",
]
