"""A recipe: everything a conversion depends on beside the data, as frozen data from TOML or Python."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgeinfer.bundle import (
    MAX_PIXELS,
    NAME_PATTERN,
    Decode,
    Dialect,
    Layout,
    Normalize,
    PreprocessStep,
    Resize,
    Scale,
    canonical_json,
    decode,
    encode,
)
from edgeinfer.errors import RecipeError

# torch.export fixes the batch unless it is given a range; this is the range we give.
LARGEST_BATCH = 4096
_LONGEST_SIDE = 1024
_DIALECT = Dialect(RecipeError, forbid_unknown=True, next_step="see docs/recipes.md")


@dataclass(frozen=True)
class Data:
    """Where the pictures are and how they are split.

    Attributes:
        source: `digits` is scikit-learn's set; `folder` is a folder or zip file, one folder a class.
        path: The folder or zip file, relative to the recipe.
        test_path: Another one that holds the test pictures; without it a share is split off.
        validation: Share of the training pictures to hold out for choosing and calibrating.
        test: Share of all pictures to hold out for measuring once, where there is no `test_path`.
        limit_per_class: Take at most so many of a class, chosen by the seed.
        max_unreadable: Share of unreadable pictures above which the run stops.
    """

    source: Literal["digits", "folder"]
    path: str | None = None
    test_path: str | None = None
    validation: float = 0.15
    test: float = 0.2
    limit_per_class: int | None = None
    max_unreadable: float = 0.01


@dataclass(frozen=True)
class Input:
    """What the student takes: the preprocessing specification.

    Attributes:
        height: Rows.
        width: Columns.
        color: `RGB`, or `L` for grey.
        resize: `squash`, `fit-crop` or `letterbox`.
        filter: Resampling filter.
        mean: One value a channel, of pixels scaled to 0..1.
        std: One value a channel.
        max_pixels: Largest picture that will be decoded.
    """

    height: int
    width: int
    color: Literal["RGB", "L"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["squash", "fit-crop", "letterbox"] = "squash"
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    max_pixels: int = 50_000_000

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self.color == "RGB" else 1

    def steps(self) -> tuple[PreprocessStep, ...]:
        """Return the specification that goes into the manifest and that training uses."""
        return (
            Decode(self.color, self.max_pixels),
            Resize(self.height, self.width, self.resize, self.filter),
            Scale(1 / 255),
            Normalize(self.mean, self.std),
            Layout("CHW"),
        )


@dataclass(frozen=True)
class Augment:
    """How training pictures are varied, each by the seed, the epoch and its place.

    Attributes:
        rotate: Largest turn in degrees, either way.
        zoom_out: Largest shrinking of what is shown, as a share.
        zoom_in: Largest magnification, as a share.
        stretch: Largest change of the aspect ratio, as a share, either way.
        shear: Largest slant, as a share of the height, either way.
        shift: Largest move, as a share of the side, either way.
        flip: Mirror half of the pictures left to right.
        fade: Largest loss of contrast against white, as a share: thin or pale strokes.
        dim: Largest loss of brightness, as a share: grey paper, dark rooms.
    """

    rotate: float = 0.0
    zoom_out: float = 0.0
    zoom_in: float = 0.0
    stretch: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    flip: bool = False
    fade: float = 0.0
    dim: float = 0.0


@dataclass(frozen=True)
class Network:
    """A plain convolutional network; see `converters.networks.ConvNet`.

    Attributes:
        width: Channels of the first stage; every further stage doubles them and halves the sides.
        blocks: Convolutions per stage.
    """

    width: int
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """How a network is trained: AdamW under a one-cycle schedule.

    Attributes:
        epochs: Passes over the training pictures.
        batch_size: Pictures a step.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled weight decay.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 0.004
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Teacher:
    """The model to learn from: a file that `torch.export.save` wrote, or a network trained first.

    Attributes:
        path: The `.pt2` file, relative to the recipe. It takes the recipe's input and gives logits.
        network: The network to train where there is no file.
        training: How.
    """

    path: str | None = None
    network: Network | None = None
    training: Training | None = None


@dataclass(frozen=True)
class Student:
    """The model to ship.

    Attributes:
        network: Its architecture.
        training: How it is trained.
        temperature: Softening of both distributions (Hinton et al. 2015, arXiv:1503.02531, section 2).
        distillation_weight: Weight of the teacher's answers in the loss, the rest is the labels'.
    """

    network: Network
    training: Training
    temperature: float = 3.0
    distillation_weight: float = 0.9


@dataclass(frozen=True)
class Quantize:
    """Static int8.

    Attributes:
        calibration_items: Validation pictures whose value ranges are taken, chosen by the seed.
    """

    calibration_items: int = 200


@dataclass(frozen=True)
class Gates:
    """Limits; a conversion that misses one fails with the figures. Shares are in 0..1.

    Attributes:
        min_accuracy: Least test accuracy of every variant.
        max_int8_drop: Most that an int8 variant may lose to the fp32 student on the test split.
        min_parity: Least share of test pictures on which each fp32 variant names the class that the
            PyTorch student names.
        min_agreement: Least share on which each variant names the teacher's class.
        max_bytes: Most bytes of each int8 model file.
    """

    min_accuracy: float = 0.0
    max_int8_drop: float = 0.005
    min_parity: float = 1.0
    min_agreement: float = 0.0
    max_bytes: int | None = None


@dataclass(frozen=True)
class Recipe:
    """One conversion.

    Attributes:
        name: Name of the model.
        version: Its version.
        licence: Licence of the result.
        intended_use: What it is for.
        data: Pictures.
        input: Preprocessing.
        teacher: What to learn from.
        student: What to ship.
        augment: Variation of the training pictures.
        quantize: Static int8.
        gates: Limits.
        seed: Seed of every random choice.
        top: How many classes an answer lists.
        folder: Where relative paths start; set by `load_recipe`, no part of the digest.
    """

    name: str
    version: str
    licence: str
    intended_use: str
    data: Data
    input: Input
    teacher: Teacher
    student: Student
    augment: Augment = field(default_factory=Augment)
    quantize: Quantize = field(default_factory=Quantize)
    gates: Gates = field(default_factory=Gates)
    seed: int = 0
    top: int = 3
    folder: str = "."

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the published recipe's canonical JSON."""
        return hashlib.sha256(canonical_json(encode(self.published()))).hexdigest()

    def published(self) -> Recipe:
        """Return it as it may be shown to others: files by name, without the folders they lie in."""
        data = replace(self.data, path=_name_of(self.data.path), test_path=_name_of(self.data.test_path))
        teacher = replace(self.teacher, path=_name_of(self.teacher.path))
        return replace(self, data=data, teacher=teacher, folder=".")

    def resolve(self, path: str) -> Path:
        """Return a path of the recipe as one that can be opened."""
        return Path(self.folder) / path


def _name_of(path: str | None) -> str | None:
    return None if path is None else Path(path).name


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
    recipe = decode(Recipe, table, where="recipe", dialect=_DIALECT)
    recipe = replace(recipe, folder=str(path.parent))
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Hold a recipe against the rules between its fields.

    Raises:
        RecipeError: The first rule that is broken.
    """
    named = re.fullmatch(NAME_PATTERN, recipe.name) is not None
    _require(named, "name", repr(recipe.name), "letters, digits, '.', '_' or '-'")
    _require(recipe.top > 0, "top", recipe.top, "1 or more")
    _require(0 <= recipe.seed < 2**31, "seed", recipe.seed, f"0 to {2**31 - 1}")
    items = recipe.quantize.calibration_items
    _require(items > 0, "quantize.calibration_items", items, "1 or more")
    for name, value in encode(recipe.augment).items():
        most = 180 if name == "rotate" else 1
        _require(0 <= value <= most, f"augment.{name}", value, f"0 to {most}")
    _check_data(recipe.data)
    _check_input(recipe.input)
    teacher, student = recipe.teacher, recipe.student
    given = [name for name in ("path", "network", "training") if getattr(teacher, name) is not None]
    good = given in (["path"], ["network", "training"])
    _require(good, "teacher", " and ".join(given) or "nothing", "either path, or network and training")
    for part, network, training in (
        ("teacher", teacher.network, teacher.training),
        ("student", student.network, student.training),
    ):
        if network is not None:
            _check_network(part, network, recipe.input)
        if training is not None:
            _check_training(f"{part}.training", training)
    weight, temperature = student.distillation_weight, student.temperature
    _require(0 <= weight <= 1, "student.distillation_weight", weight, "0 to 1")
    _require(0.01 <= temperature <= 100, "student.temperature", temperature, "0.01 to 100")


def _check_training(where: str, training: Training) -> None:
    _require(0 < training.epochs <= 100_000, f"{where}.epochs", training.epochs, "1 to 100000")
    _require(
        1 < training.batch_size <= LARGEST_BATCH,
        f"{where}.batch_size",
        training.batch_size,
        f"2 to {LARGEST_BATCH}",
    )
    _require(
        0 < training.learning_rate <= 10,
        f"{where}.learning_rate",
        training.learning_rate,
        "above 0, at most 10",
    )
    _require(0 <= training.weight_decay <= 10, f"{where}.weight_decay", training.weight_decay, "0 to 10")


def _check_data(data: Data) -> None:
    _require(
        (data.source == "folder") == (data.path is not None),
        "data.path",
        data.path,
        "set for source 'folder'",
    )
    _require(0 < data.validation < 1, "data.validation", data.validation, "a share between 0 and 1")
    _require(0 < data.test < 1, "data.test", data.test, "a share between 0 and 1")
    _require(data.test + data.validation < 1, "data.test + data.validation", "1 or more", "room for training")
    _require(0 <= data.max_unreadable < 1, "data.max_unreadable", data.max_unreadable, "a share below 1")
    limit = data.limit_per_class
    _require(limit is None or limit >= 3, "data.limit_per_class", limit, "3 or more, one for each split")


def _check_input(input_: Input) -> None:
    for name, values in (("mean", input_.mean), ("std", input_.std)):
        _require(len(values) == input_.channels, f"input.{name}", f"{len(values)} values", input_.channels)
    _require(
        0.001 <= min(input_.std) <= max(input_.std) <= 1000,
        "input.std",
        list(input_.std),
        "0.001 to 1000 each",
    )
    _require(max(map(abs, input_.mean)) <= 1000, "input.mean", list(input_.mean), "-1000 to 1000 each")
    _require(0 < input_.max_pixels <= MAX_PIXELS, "input.max_pixels", input_.max_pixels, f"1 to {MAX_PIXELS}")
    good = 4 <= min(input_.height, input_.width) <= max(input_.height, input_.width) <= _LONGEST_SIDE
    _require(good, "input", f"{input_.height} x {input_.width}", f"sides of 4 to {_LONGEST_SIDE}")


def _check_network(part: str, network: Network, input_: Input) -> None:
    good = (
        0 < network.width <= 4096
        and bool(network.blocks)
        and 0 < min(network.blocks) <= max(network.blocks) <= 64
    )
    _require(good, f"{part}.network", network, "a width of 1 to 4096 and blocks of 1 to 64")
    smallest = min(input_.height, input_.width) >> (len(network.blocks) - 1)
    _require(smallest > 0, f"{part}.network.blocks", f"{len(network.blocks)} stages", "fewer for this input")


def _require(good: object, where: str, found: object, expected: object) -> None:
    if not good:
        raise RecipeError(f"recipe.{where}", found=found, expected=expected, next_step=_DIALECT.next_step)
