"""The data section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
