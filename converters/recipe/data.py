"""The data section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Data:
    """Where the training items are and how they are split.

    Attributes:
        source: `digits` is scikit-learn's set; `folder` is a folder or zip file of pictures or recordings,
            one folder a class; `csv` is a table.
        path: The folder, zip or CSV file, relative to the recipe.
        test_path: Another one that holds the test items; without it a share is split off.
        unlabelled: Another one, or any folder of files, whose items have no class; distillation alone
            uses them.
        label: Column of a table that names the class.
        delimiter: What separates the fields of a table.
        validation: Share of the training items to hold out for choosing and calibrating.
        test: Share of all items to hold out for measuring once, where there is no `test_path`.
        limit_per_class: Take at most so many of a class, chosen by the seed.
        max_unreadable: Share of unreadable items above which the run stops.
    """

    source: Literal["digits", "folder", "csv"]
    path: str | None = None
    test_path: str | None = None
    unlabelled: str | None = None
    label: str | None = None
    delimiter: str = ","
    validation: float = 0.15
    test: float = 0.2
    limit_per_class: int | None = None
    max_unreadable: float = 0.01
