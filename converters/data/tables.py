"""Tables: CSV files, and the columns' means, scales and vocabularies, fitted on the training split alone."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters.recipe import TableInput
from edgeinfer.bundle import Category, Numeric, Row
from edgeinfer.errors import DataError, DecodeError, InputError
from edgeinfer.preprocess import is_missing, number, word

# The text of each column.
Cells = Mapping[str, str]
# Fewer values than this share that are no numbers are slips rather than words.
_FEW = 0.1
_BLANKS = " \t\n"


class Table:
    """A CSV file (RFC 4180, UTF-8) whose first line names the columns; held in memory.

    Attributes:
        path: The file.
        head: Names of the columns.
        rows: Fields of each row; one of another length than the head is kept, and refused when it is read.

    Raises:
        DataError: It is no CSV file, or its head is no head.
    """

    def __init__(self, path: Path, delimiter: str) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                lines = [each for each in csv.reader(file, delimiter=delimiter, strict=True) if each]
        except (OSError, ValueError, csv.Error) as error:  # UTF-8 errors are ValueErrors
            raise DataError(
                f"cannot read table {path} ({error})", next_step="write it as UTF-8 CSV"
            ) from error
        self.head = tuple(name.strip(_BLANKS) for name in lines[0]) if lines else ()
        self.rows = lines[1:]
        if not self.rows or len(set(self.head)) != len(self.head) or "" in self.head:
            raise DataError(
                f"{path} is no table",
                found=f"{len(self.rows)} rows under {list(self.head)[:8]}",
                expected="a first line of unique column names, and rows below it",
            )

    def cells(self, at: int) -> Cells:
        """Return a row by column.

        Raises:
            DecodeError: It has more or fewer fields than the head.
        """
        row = self.rows[at]
        if len(row) != len(self.head):
            raise DecodeError(
                "the row does not fit the head", found=f"{len(row)} fields", expected=f"{len(self.head)}"
            )
        return dict(zip(self.head, row, strict=True))

    def labels(self, column: str) -> list[str]:
        """Return the class of each row; empty for a row that has none.

        Raises:
            DataError: There is no such column.
        """
        if column not in self.head:
            raise DataError(
                f"{self.path} has no column {column!r}",
                found=", ".join(self.head[:12]),
                next_step="check data.label in the recipe",
            )
        place = self.head.index(column)
        return [row[place].strip(_BLANKS) if place < len(row) else "" for row in self.rows]


def check_row(cells: Cells, input_: TableInput) -> None:
    """Refuse a row that the recipe's columns do not take.

    Raises:
        DataError: A column that the recipe names is not there.
        InputError: A value is no number, or missing where the recipe refuses that.
    """
    lacking = [name for name in (*input_.numeric, *input_.categorical) if name not in cells]
    if lacking:
        raise DataError(
            "the table lacks columns", found=", ".join(lacking), next_step="check [input] in the recipe"
        )
    for name in input_.numeric:
        if not is_missing(cells[name], input_.missing):
            number(cells[name])
        elif input_.fill == "refuse":
            raise InputError(f"column {name} has no value")


def kinds(rows: Sequence[Cells], input_: TableInput) -> TableInput:
    """Return the input with every column named: where the recipe names none, numbers tell numeric ones.

    Args:
        rows: Rows of all splits; the kind of a column is no fitted value.
        input_: The recipe's.

    Raises:
        DataError: A column holds numbers but for a few values, so that it may be meant as either kind.
    """
    if input_.numeric or input_.categorical:
        return input_
    names = [name for name in rows[0] if all(name in row for row in rows)]
    numeric = []
    for name in names:
        strange = [row[name] for row in rows if not _is_number(row[name], input_.missing)]
        if not strange:
            numeric.append(name)
        elif len(strange) < _FEW * len(rows):
            raise DataError(
                f"column {name} holds numbers but for {len(strange)} of {len(rows)} rows",
                found=repr(strange[0][:60]),
                expected="numbers alone, or words",
                next_step="mend them, list them under input.missing, or name the columns under [input]",
            )
    return replace(
        input_, numeric=tuple(numeric), categorical=tuple(name for name in names if name not in numeric)
    )


def fit(rows: Sequence[Cells], input_: TableInput) -> Row:
    """Return what each column becomes.

    Args:
        rows: Of the training split.
        input_: Every column named.

    Raises:
        DataError: A column has no value, or no word that occurs often enough.
    """
    columns: list[Numeric | Category] = [_numeric(name, rows, input_) for name in input_.numeric]
    columns += [_category(name, rows, input_) for name in input_.categorical]
    return Row(tuple(columns), input_.missing)


def _numeric(name: str, rows: Sequence[Cells], input_: TableInput) -> Numeric:
    values = [number(row[name]) for row in rows if not is_missing(row[name], input_.missing)]
    if not values:
        raise DataError(f"column {name} has no value in the training split", next_step="leave it out")
    # A constant column says nothing; any scale will do for it.
    mean, scale = float(np.mean(values)), float(np.std(values)) or 1.0
    fill = {"mean": mean, "median": float(np.median(values)), "refuse": None}[input_.fill]
    return Numeric(name, mean, max(scale, 1e-29), fill)


def _category(name: str, rows: Sequence[Cells], input_: TableInput) -> Category:
    counts = Counter(word(row[name]) for row in rows if not is_missing(row[name], input_.missing))
    words = tuple(sorted(each for each, count in counts.items() if count >= input_.min_count))
    if not words:
        raise DataError(
            f"column {name} has no word that occurs {input_.min_count} times in the training split",
            next_step="leave it out: name the columns to take under [input]",
        )
    return Category(name, words)


def _is_number(text: str, missing: Sequence[str]) -> bool:
    if is_missing(text, missing):
        return True
    try:
        number(text)
    except InputError:
        return False
    return True
