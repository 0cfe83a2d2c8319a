"""What a conversion is asked for, as data."""

from converters.recipe.augment import Augment
from converters.recipe.data import Data
from converters.recipe.gates import Gates
from converters.recipe.input import AudioInput, ImageInput, Input, TableInput
from converters.recipe.load import load_recipe, read_table
from converters.recipe.models import (
    LARGEST_BATCH,
    Budget,
    Hint,
    Member,
    Student,
    Teacher,
    Training,
)
from converters.recipe.networks import (
    ConvNetwork,
    FactoryNetwork,
    MlpNetwork,
    Network,
    ResNetwork,
    SeparableNetwork,
)
from converters.recipe.profile import Card, Cascade, Drift
from converters.recipe.quantization import IntegerTypes, ModelVariant, Qat, Quantize
from converters.recipe.recipe import Recipe
from converters.recipe.rules import check_recipe

__all__ = [
    "LARGEST_BATCH",
    "AudioInput",
    "Augment",
    "Budget",
    "Card",
    "Cascade",
    "ConvNetwork",
    "Data",
    "Drift",
    "FactoryNetwork",
    "Gates",
    "Hint",
    "ImageInput",
    "Input",
    "IntegerTypes",
    "Member",
    "MlpNetwork",
    "ModelVariant",
    "Network",
    "Qat",
    "Quantize",
    "Recipe",
    "ResNetwork",
    "SeparableNetwork",
    "Student",
    "TableInput",
    "Teacher",
    "Training",
    "check_recipe",
    "load_recipe",
    "read_table",
]
