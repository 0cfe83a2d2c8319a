"""What stands on a command line as things to answer for: files, folders, tables, standard input."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.bundle import unique_keys
from edgeinfer.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
RECORDINGS = (".wav",)
TABLES = (".csv", ".json")
ARRAYS = (".npy", ".npz")
KNOWN = (*PICTURES, *RECORDINGS, *TABLES, *ARRAYS)
MAX_STDIN_BYTES = 512 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024


def names(files: Sequence[str]) -> Iterator[str]:
    """Yield every file, those inside folders in order of their names."""
    for name in files:
        path = Path(name)
        inside = sorted(path.rglob("*")) if name not in ("", "-") and path.is_dir() else []
        chosen = [str(each) for each in inside if each.suffix.lower() in KNOWN]
        # A folder without any is left to `sources`, which says what is wrong with it.
        yield from chosen or [name]


def sources(name: str, delimiter: str = ",") -> Iterator[tuple[str, Any]]:
    """Yield what `Model.predict` takes, each under its name: one of most files, each row of a table.

    Pictures and recordings are read by the model. What cannot be read is yielded as an `InputError`.

    Args:
        name: A path, or - for standard input.
        delimiter: What separates the fields of a CSV file: one character.
    """
    try:
        yield from _read(name, delimiter)
    except InputError as error:
        yield name, error


def _read(name: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    path = Path(name)
    if name == "-":
        yield name, _standard_input()
    elif not name or path.is_dir():
        raise InputError(f"{name!r} holds nothing to answer for", expected=", ".join(KNOWN))
    elif path.suffix.lower() in ARRAYS and path.is_file():
        yield name, _array(path)
    elif path.suffix.lower() == ".csv" and path.is_file():
        yield from _csv_rows(path, delimiter)
    elif path.suffix.lower() == ".json" and path.is_file():
        yield from _json_rows(path)
    else:
        yield name, path


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise InputError("there is no standard input")
    return sys.stdin.buffer.read(MAX_STDIN_BYTES)


def _array(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return dict(loaded)
    except Exception as error:  # its readers raise over a dozen types on damaged files
        raise InputError(
            f"cannot read array file {path} ({type(error).__name__}: {error})",
            next_step="write it with numpy.save",
        ) from error
    return loaded


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[str, Any]]:
    """Yield each row by column name, under the file's name and its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            lines = filter(None, reader)
            head = _head(path, next(lines, []))
            rows = 0
            for fields in lines:
                rows += 1
                error = InputError(
                    "the line does not fit the head of the table",
                    found=f"{len(fields)} fields",
                    expected=len(head),
                )
                fits = len(fields) == len(head)
                yield f"{path}:{reader.line_num}", dict(zip(head, fields, strict=True)) if fits else error
            if not rows:
                raise InputError(f"table {path} has no rows", expected="column names, and rows below them")
    except (OSError, ValueError, csv.Error) as error:  # UTF-8 errors are ValueErrors
        raise InputError(f"cannot read table {path} ({error})", next_step="write it as UTF-8 CSV") from error


def _head(path: Path, fields: Sequence[str]) -> list[str]:
    """Return the columns' names, without the blanks around them, as the converter reads them."""
    head = [name.strip(" \t\n") for name in fields]
    twice = next((name for name in head if head.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"table {path} names a column twice", found=repr(twice))
    if len(head) == 1 and any(separator in fields[0] for separator in ",;\t|"):
        raise InputError(
            f"table {path} has one column",
            found=repr(fields[0][:60]),
            next_step="name what separates its fields with --delimiter",
        )
    return head


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield one row, or each of a list of rows under the file's name and its place."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(
                f"{path} is too large", found=f"{path.stat().st_size} bytes", expected=MAX_JSON_BYTES
            )
        value = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path} ({error})", next_step="write it as JSON") from error
    if isinstance(value, list) and value and all(isinstance(each, dict | list) for each in value):
        yield from ((f"{path}[{at}]", each) for at, each in enumerate(value))
    else:
        yield str(path), value
