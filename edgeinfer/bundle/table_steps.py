"""The step from a row of a table to a tensor, as data; docs/bundle-format.md defines it."""

from __future__ import annotations

from typing import Literal

from edgeinfer.frozen import frozen


@frozen
class Numeric:
    """A column of numbers: one value, `(x - mean) / scale`.

    Attributes:
        name: Name of the column.
        mean: What is subtracted.
        scale: What it is divided by.
        fill: Taken for x where the value is missing; None refuses the row.
    """

    name: str
    mean: float
    scale: float
    fill: float | None = None
    kind: Literal["numeric"] = "numeric"


@frozen
class Category:
    """A column of words: one value for each, 1 for the row's and 0 for the others.

    Attributes:
        name: Name of the column.
        vocabulary: The known words.
        unknown: Whether one more value stands for every other word and for a missing one; without
            it such a row is refused.
    """

    name: str
    vocabulary: tuple[str, ...]
    unknown: bool = True
    kind: Literal["category"] = "category"

    @property
    def width(self) -> int:
        """How many values the column becomes."""
        return len(self.vocabulary) + self.unknown


@frozen
class Row:
    """One row, by column name or in the order of the columns, to `(values,) float32`.

    Attributes:
        columns: What each column becomes, in order.
        missing: Texts that stand for a missing value, beside null and NaN.
    """

    columns: tuple[Numeric | Category, ...]
    missing: tuple[str, ...] = ("",)
    op: Literal["row"] = "row"

    @property
    def width(self) -> int:
        """How many values the row becomes."""
        return sum(each.width if isinstance(each, Category) else 1 for each in self.columns)
