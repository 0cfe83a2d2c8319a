"""Rules between the fields of a ready model's recipe."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from converters.ready.recipe import Detections, ReadyInput, ReadyQuantize, ReadyRecipe
from converters.recipe import read_table
from converters.recipe.require import require
from edgeinfer.bundle import MAX_OVERSAMPLING, MAX_PIXELS, NAME_PATTERN, Dialect, decode
from edgeinfer.errors import RecipeError

DIALECT = Dialect(RecipeError, forbid_unknown=True, next_step="see docs/ready-models.md")
FORMATS = {".onnx": "onnx", ".tflite": "tflite"}
_LONGEST_SIDE = 4096
_require = partial(require, dialect=DIALECT)


def load_ready_recipe(path: str | Path) -> ReadyRecipe:
    """Read the recipe of a ready model from a TOML file.

    Raises:
        RecipeError: It cannot be read, or a key is unknown, missing, mistyped or out of range.
    """
    table = read_table(path)
    if "folder" in table:
        raise RecipeError("recipe has the unknown key 'folder'", next_step="paths are relative to the recipe")
    recipe = decode(ReadyRecipe, table, where="recipe", dialect=DIALECT)
    recipe = replace(recipe, folder=str(Path(path).parent))
    check_ready(recipe)
    return recipe


def check_ready(recipe: ReadyRecipe) -> None:
    """Hold a recipe against the rules between its fields.

    Raises:
        RecipeError: The first rule that is broken.
    """
    named = re.fullmatch(NAME_PATTERN, recipe.name) is not None
    _require(named, "name", repr(recipe.name), "letters, digits, '.', '_' or '-'")
    good = 0 < len(recipe.version) <= 100 and recipe.version.isprintable()
    _require(good, "version", repr(recipe.version[:60]), "1 to 100 printable characters")
    _require(0 <= recipe.seed < 2**31, "seed", recipe.seed, f"0 to {2**31 - 1}")
    formats = [FORMATS.get(Path(each.path).suffix.lower()) for each in recipe.files]
    _require(formats[0], "model.path", recipe.model.path, "a .onnx or .tflite file")
    if recipe.twin is not None:
        good = set(formats) == {"onnx", "tflite"}
        _require(good, "twin.path", recipe.twin.path, "the other format than model.path")
    release = recipe.runtimes.onnxruntime
    good = re.fullmatch(r"1\.[0-9]{2}", release) is not None
    _require(good, "runtimes.onnxruntime", release, "a release such as 1.20")
    if recipe.input is not None:
        _check_input(recipe.input)
    if recipe.quantize is not None:
        _check_quantize(recipe.quantize)
    output = recipe.output
    _require(output.top > 0, "output.top", output.top, "1 or more")
    _require(0.01 <= output.temperature <= 100, "output.temperature", output.temperature, "0.01 to 100")
    names = output.names
    unique = names is None or (0 < len(names) == len(set(names)))
    _require(unique, "output.names", names, "different names")
    detects = output.answer == "detections"
    _require(
        detects == (recipe.detections is not None),
        "detections",
        "a table" if recipe.detections else "none",
        "a table for answer 'detections', and for no other",
    )
    if recipe.detections is not None:
        _require(recipe.input is not None, "input", "none", "preprocessing, so that boxes have a picture")
        _check_detections(recipe.detections)


def _check_input(given: ReadyInput) -> None:
    for name, values in (("mean", given.mean), ("std", given.std)):
        good = len(values) in (0, given.channels)
        _require(good, f"input.{name}", f"{len(values)} values", given.channels)
    good = all(0.001 <= each <= 1000 for each in given.std)
    _require(good, "input.std", list(given.std), "0.001 to 1000 each")
    _require(
        all(abs(each) <= 1000 for each in given.mean), "input.mean", list(given.mean), "-1000 to 1000 each"
    )
    _require(1e-5 <= given.scale <= 1000, "input.scale", given.scale, "0.00001 to 1000")
    _require(0.1 <= given.crop <= 1, "input.crop", given.crop, "a share of 0.1 to 1")
    good = given.crop == 1 or given.resize != "letterbox"
    _require(good, "input.crop", "letterbox", "squash or fit-crop, where the centre is cropped")
    _require(0 < given.max_pixels <= MAX_PIXELS, "input.max_pixels", given.max_pixels, f"1 to {MAX_PIXELS}")
    wanted = given.jpeg_oversampling
    good = wanted is None or 1 <= wanted <= MAX_OVERSAMPLING
    _require(good, "input.jpeg_oversampling", wanted, f"1 to {MAX_OVERSAMPLING}")
    for name, side in (("height", given.height), ("width", given.width)):
        good = side is None or 0 < side <= _LONGEST_SIDE
        _require(good, f"input.{name}", side, f"1 to {_LONGEST_SIDE}")


def _check_quantize(given: ReadyQuantize) -> None:
    _require(0 < given.items <= 1_000_000, "quantize.items", given.items, "1 to 1000000")
    good = 0 <= given.min_agreement <= 1
    _require(good, "quantize.min_agreement", given.min_agreement, "a share of 0 to 1")


def _check_detections(given: Detections) -> None:
    for name, value in (("least", given.least), ("iou", given.iou)):
        _require(0 <= value <= 1, f"detections.{name}", value, "0 to 1")
    for name, count in (("k", given.k), ("candidates", given.candidates)):
        _require(0 < count <= 100_000, f"detections.{name}", count, "1 to 100000")
