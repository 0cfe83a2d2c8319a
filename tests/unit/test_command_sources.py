"""Tables and file names as the command takes and shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.cli.sources import sources
from edgeinfer.errors import InputError, printable


def read(folder: Path, text: str, *delimiter: str) -> list[object]:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return [str(row) if isinstance(row, InputError) else row for _, row in sources(str(path), *delimiter)]


def test_rows_are_read_as_the_converter_reads_them(tmp_path):
    rows = read(tmp_path, "\ufeff\nlength, width \n1,2\n\n3\n'4', 5\n")
    assert rows == [
        {"length": "1", "width": "2"},
        "the line does not fit the head of the table: expected 2, found 1 fields",
        {"length": "'4'", "width": " 5"},
    ]


def test_fields_may_be_separated_by_something_else(tmp_path):
    assert read(tmp_path, "a;b\n1,5;2\n", ";") == [{"a": "1,5", "b": "2"}]
    (error,) = read(tmp_path, "a,b\n1,2\n", ";")
    assert "has one column" in str(error)


def test_a_name_that_occurs_twice_in_a_row_is_refused(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1, "a": 2}]')
    ((_, error),) = sources(str(path))
    assert "a key occurs twice" in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,a\n1,2,3\n", "names a column twice: found 'a'"),
        ("", "has no rows"),
        ("a,b\n", "has no rows: expected column names, and rows below them"),
        ("a;b\n1;2\n", "has one column: found 'a;b'; name what separates its fields with --delimiter"),
        ('a,b\n1,"2\n', "cannot read table"),
    ],
)
def test_a_table_that_cannot_be_told_apart_is_refused(tmp_path, text, message):
    (error,) = read(tmp_path, text)
    assert message in str(error)


def test_nothing_that_is_printed_moves_the_cursor_or_ends_a_line():
    assert printable("a\x1b[2Jb\nc\u202e\udcffé") == "a\\x1b[2Jb\\nc\\u202e\\udcffé"
    assert str(InputError("what", found="\x1b[31m")) == "what: found \\x1b[31m"
