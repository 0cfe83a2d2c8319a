"""A recipe: everything a conversion depends on beside the data, as frozen data from TOML or Python."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from converters.recipe.augment import Augment
from converters.recipe.data import Data
from converters.recipe.gates import Gates
from converters.recipe.input import ImageInput, Input
from converters.recipe.models import Member, Student, Teacher
from converters.recipe.profile import Card, Cascade, Drift
from converters.recipe.quantization import Quantize
from edgeinfer.bundle import Budgets, Cloud, canonical_json, encode

_Model = TypeVar("_Model", Member, Teacher)


@dataclass(frozen=True)
class Recipe:
    """One conversion.

    Attributes:
        name: Name of the model.
        version: Its version.
        licence: Licence of the result.
        intended_use: What it is for.
        data: Training data.
        input: Preprocessing.
        teacher: What to learn from.
        student: What to ship.
        augment: Variation of the training items.
        quantize: Smaller model files.
        gates: Limits.
        drift: Drift reference.
        cascade: Handing unsure answers to the teacher.
        cloud: How the model, or its teacher, is asked in the cloud.
        budgets: What the model may cost on a device.
        card: What the model card says that nobody can measure.
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
    drift: Drift = field(default_factory=Drift)
    cascade: Cascade = field(default_factory=Cascade)
    cloud: Cloud | None = None
    budgets: Budgets | None = None
    card: Card = field(default_factory=Card)
    seed: int = 0
    top: int = 3
    folder: str = "."

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the published recipe's canonical JSON."""
        return hashlib.sha256(canonical_json(encode(self.published()))).hexdigest()

    def published(self) -> Recipe:
        """Return it as it may be shown to others: files by name, without the folders they lie in."""
        data = replace(
            self.data,
            path=_name_of(self.data.path),
            test_path=_name_of(self.data.test_path),
            unlabelled=_name_of(self.data.unlabelled),
        )
        members = tuple(_without_folders(member) for member in self.teacher.members)
        teacher = replace(_without_folders(self.teacher), members=members)
        # What was fitted stands in the manifest; the recipe is what was asked for.
        asked = self.input if isinstance(self.input, ImageInput) else replace(self.input, fitted=None)
        return replace(self, data=data, input=asked, teacher=teacher, folder=".")

    def resolve(self, path: str) -> Path:
        """Return a path of the recipe as one that can be opened."""
        return Path(self.folder) / path


def _without_folders(model: _Model) -> _Model:
    return replace(model, path=_name_of(model.path), logits=_name_of(model.logits))


def _name_of(path: str | None) -> str | None:
    return None if path is None else Path(path).name
