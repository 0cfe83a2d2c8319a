"""Rows of a table to numbers, and numbers to what a model takes."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import Category, Numeric, Row, unique_keys
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess.reading import read_file

Values = NDArray[np.float64]
MAX_ROW_BYTES = 16 * 1024 * 1024
_NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_LARGEST = 1e30
_LIMIT = 1e6
_BLANKS = " \t\n"


def read_row(source: object, step: Row) -> Values:
    """Return `(columns,) float64`: numbers as they are, a word by its place in the vocabulary.

    NaN stands for a missing number; the length of the vocabulary stands for an unknown word.

    Args:
        source: A mapping from column name to value (others are ignored), a list or tuple in the order
            of the columns, or either as JSON: bytes, or the path of a file.
        step: The columns.

    Raises:
        DecodeError: The JSON cannot be read.
        InputError: A column lacks, or a value is not one that the column takes.
    """
    row = _loaded(source)
    if isinstance(row, Mapping):
        absent = [each.name for each in step.columns if each.name not in row]
        if absent:
            raise InputError(
                "the row lacks columns",
                found=", ".join(absent[:8]),
                expected=f"{len(step.columns)} columns",
                next_step="write null for a value that is missing",
            )
        values: Sequence[object] = [row[each.name] for each in step.columns]
    elif isinstance(row, list | tuple):
        values = row
    else:
        raise InputError(
            "this is no row", found=type(row).__name__, expected="a dict by column name, or a list"
        )
    if len(values) != len(step.columns):
        raise InputError("the row", found=f"{len(values)} values", expected=f"{len(step.columns)} columns")
    return np.array(
        [_value(value, each, step.missing) for value, each in zip(values, step.columns, strict=True)]
    )


def row_tensors(items: Values, step: Row) -> NDArray[np.float32]:
    """Return `(N, values) float32` of `(N, columns) float64`, computed in float64 and rounded once."""
    parts = []
    for at, column in enumerate(step.columns):
        values = items[:, at]
        if isinstance(column, Category):
            parts.append((values[:, None] == np.arange(column.width)).astype(np.float64))
        else:
            filled = values if column.fill is None else np.where(np.isnan(values), column.fill, values)
            parts.append(np.clip((filled - column.mean) / column.scale, -_LIMIT, _LIMIT)[:, None])
    return np.concatenate(parts, axis=1).astype(np.float32)


def is_missing(value: object, texts: Sequence[str]) -> bool:
    """Return whether a value stands for none: null, NaN, or one of the texts."""
    if isinstance(value, str):
        return value.strip(_BLANKS) in texts
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def number(value: object) -> float:
    """Return a value as a number; a text must be one in decimal digits.

    Raises:
        InputError: It is none, or beyond 1e30.
    """
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if isinstance(value, str):
        value = value.strip(_BLANKS)
        good = re.fullmatch(_NUMBER, value) is not None and len(value) <= 400
    if good:
        try:
            result = float(value)  # type: ignore[arg-type]
        except OverflowError:
            result = math.inf
        if abs(result) <= _LARGEST:
            return result
    raise InputError("this is no number", found=_shown(value), expected="a number within 1e30")


def word(value: object) -> str:
    """Return a value as a word: text without blanks around it, or a whole number in decimal digits.

    Raises:
        InputError: It is neither.
    """
    if isinstance(value, str):
        return value.strip(_BLANKS)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and abs(int(value)) < 2**53:
        return str(int(value))
    raise InputError("this is no word", found=_shown(value), expected="text or a whole number")


def _value(value: object, column: Numeric | Category, texts: Sequence[str]) -> float:
    try:
        if isinstance(column, Category):
            return _place(value, column, texts)
        if not is_missing(value, texts):
            return number(value)
        if column.fill is None:
            raise InputError("there is no value", expected="a number")
        return math.nan
    except InputError as error:
        raise InputError(f"column {column.name}: {error}") from error


def _place(value: object, column: Category, texts: Sequence[str]) -> float:
    found = None if is_missing(value, texts) else word(value)
    if found in column.vocabulary:
        return float(column.vocabulary.index(found))
    if column.unknown:
        return float(len(column.vocabulary))
    known = ", ".join(column.vocabulary[:8])
    raise InputError("the word is not known", found=_shown(value), expected=f"one of {known}")


def _loaded(source: object) -> Any:
    if isinstance(source, str | os.PathLike):
        source = read_file(source, "row", MAX_ROW_BYTES)
    if not isinstance(source, bytes | bytearray | memoryview):
        return source
    data = bytes(source)
    if len(data) > MAX_ROW_BYTES:
        raise DecodeError("the row is too large", found=f"{len(data)} bytes", expected=MAX_ROW_BYTES)
    try:
        return json.loads(data, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        raise DecodeError(
            f"the row is no JSON ({error})", next_step='write {"column": value, ...}'
        ) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
