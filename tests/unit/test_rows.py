"""Rows of tables to vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeinfer.bundle import Category, Numeric, Row
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess import Preprocessor

STEP = Row(
    (
        Numeric("age", 40.0, 10.0, fill=35.0),
        Category("city", ("Bern", "Genf")),
        Numeric("height", 0.0, 2.0),
        Category("floor", ("0", "1", "2"), unknown=False),
    ),
    missing=("", "NA"),
)
PREPROCESS = Preprocessor((STEP,))


def vector(row: object) -> list[float]:
    made = PREPROCESS(row)
    assert made.dtype == np.float32
    return made[0].tolist()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"age": 50, "city": "Bern", "height": 3.0, "floor": 1}, [1, 1, 0, 0, 1.5, 0, 1, 0]),
        ({"age": "50", "city": " Genf\n", "height": "+3e0", "floor": "2"}, [1, 0, 1, 0, 1.5, 0, 0, 1]),
        ({"age": None, "city": None, "height": -1, "floor": 0.0}, [-0.5, 0, 0, 1, -0.5, 1, 0, 0]),
        ({"age": "NA", "city": "Basel", "height": ".5", "floor": 0}, [-0.5, 0, 0, 1, 0.25, 1, 0, 0]),
        ({"age": float("nan"), "city": "NA", "height": "1.", "floor": "0"}, [-0.5, 0, 0, 1, 0.5, 1, 0, 0]),
        ({"age": 1e30, "city": 7, "height": 0, "floor": 0, "id": []}, [1e6, 0, 0, 1, 0, 1, 0, 0]),
        ([50, "Bern", 3, 1], [1, 1, 0, 0, 1.5, 0, 1, 0]),
        ((np.float32(50), np.str_("Bern"), np.int8(3), np.int64(1)), [1, 1, 0, 0, 1.5, 0, 1, 0]),
    ],
)
def test_a_row_becomes_what_its_columns_say(row, expected):
    assert vector(row) == expected


def test_a_name_twice_is_refused():
    with pytest.raises(DecodeError, match="a key occurs twice"):
        PREPROCESS(b'{"age": 1, "age": 2}')


def test_json_is_a_row_as_bytes_and_as_a_file(tmp_path):
    row = {"age": 50, "city": "Bern", "height": 3, "floor": 1}
    data = json.dumps(row).encode()
    (tmp_path / "row.json").write_bytes(data)
    for source in (
        data,
        tmp_path / "row.json",
        str(tmp_path / "row.json"),
        json.dumps(list(row.values())).encode(),
    ):
        assert vector(source) == vector(row)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"age": 1}, InputError, "the row lacks columns: expected 4 columns, found city, height, floor"),
        ({"age": "x", "city": "", "height": 1, "floor": 1}, InputError, "column age: this is no number"),
        ({"age": "1_000", "city": "", "height": 1, "floor": 1}, InputError, "column age"),
        ({"age": "inf", "city": "", "height": 1, "floor": 1}, InputError, "column age"),
        ({"age": True, "city": "", "height": 1, "floor": 1}, InputError, "found True"),
        ({"age": 1e31, "city": "", "height": 1, "floor": 1}, InputError, "within 1e30"),
        ({"age": 10**400, "city": "", "height": 1, "floor": 1}, InputError, "within 1e30"),
        ({"age": "9" * 500, "city": "", "height": 1, "floor": 1}, InputError, "column age"),
        ({"age": 1, "city": "", "height": None, "floor": 1}, InputError, "column height: there is no value"),
        ({"age": 1, "city": "", "height": 1, "floor": 3}, InputError, "column floor: the word is not known"),
        (
            {"age": 1, "city": "", "height": 1, "floor": None},
            InputError,
            "expected one of 0, 1, 2, found None",
        ),
        ({"age": 1, "city": 1.5, "height": 1, "floor": 1}, InputError, "column city: this is no word"),
        ({"age": 1, "city": [], "height": 1, "floor": 1}, InputError, "column city"),
        ([1, 2, 3], InputError, "the row: expected 4 columns, found 3 values"),
        (7, InputError, "this is no row"),
        (b"{", DecodeError, "the row is no JSON"),
        (b"\xff\xfe", DecodeError, "the row is no JSON"),
        (b"[" * 200_000, DecodeError, "the row is no JSON"),
        (b"7", InputError, "found int"),
        ("nowhere.json", DecodeError, "cannot read"),
    ],
)
def test_a_row_that_does_not_fit_says_where(row, error, message):
    with pytest.raises(error) as caught:
        PREPROCESS.item(row)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_are_rounded_once_from_doubles():
    step = Row((Numeric("x", 1 / 3, 0.7),))
    value = 123456.789
    assert Preprocessor((step,))({"x": value})[0, 0] == np.float32((value - 1 / 3) / 0.7)


def test_one_by_one_is_the_same_as_in_a_batch():
    rows = [{"age": at / 7, "city": "Bern", "height": at * 0.1, "floor": at % 3} for at in range(20)]
    items = np.stack([PREPROCESS.item(row) for row in rows])
    assert items.shape == (20, 4)
    np.testing.assert_array_equal(
        PREPROCESS.tensors(items), np.concatenate([PREPROCESS(row) for row in rows])
    )
