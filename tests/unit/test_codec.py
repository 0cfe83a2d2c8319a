from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from edgeinfer.bundle import Dialect, decode, encode
from edgeinfer.errors import ManifestError, RecipeError

STRICT = Dialect(RecipeError, forbid_unknown=True, next_step="see the docs")


@dataclass(frozen=True)
class Round:
    radius: float
    op: Literal["round"] = "round"


@dataclass(frozen=True)
class Square:
    side: int
    op: Literal["square"] = "square"


@dataclass(frozen=True)
class Drawing:
    name: str
    shapes: tuple[Round | Square, ...]
    scale: float = 1.0
    note: str | None = None
    size: int | str = 0
    marks: Mapping[str, bool] = field(default_factory=dict)


WHOLE = {
    "name": "n",
    "shapes": [{"op": "round", "radius": 2}, {"op": "square", "side": 3}],
    "size": "free",
    "marks": {"a": True},
}


def test_values_become_dataclasses_and_back():
    drawing = decode(Drawing, WHOLE, where="drawing")
    assert drawing == Drawing("n", (Round(2.0), Square(3)), size="free", marks={"a": True})
    assert decode(Drawing, encode(drawing), where="drawing") == drawing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 7}, "drawing.name: expected text, found 7"),
        ({"scale": True}, "drawing.scale: expected a number, found True"),
        ({"scale": float("nan")}, "drawing.scale: expected a finite number, found nan"),
        ({"scale": 10**400}, "drawing.scale: expected a finite number"),
        ({"size": 1.5}, "drawing.size: expected a whole number or text, found 1.5"),
        ({"shapes": {}}, "drawing.shapes: expected a list"),
        ({"shapes": [7]}, "drawing.shapes[0].op: expected one of round, square, found 7"),
        ({"shapes": [{"op": "oval"}]}, "drawing.shapes[0].op: expected one of round, square, found 'oval'"),
        (
            {"shapes": [{"op": "square", "side": 1.0}]},
            "drawing.shapes[0].side: expected a whole number, found 1.0",
        ),
        ({"shapes": [{"op": "round"}]}, "drawing.shapes[0] lacks the field 'radius'"),
        ({"marks": {"a": 1}}, "drawing.marks.a: expected true or false, found 1"),
        ({"marks": []}, "drawing.marks: expected a table"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(change, message):
    with pytest.raises(ManifestError) as caught:
        decode(Drawing, {**WHOLE, **change}, where="drawing")
    assert message in str(caught.value)


def test_an_unknown_field_is_ignored_or_refused_by_dialect():
    assert decode(Drawing, {**WHOLE, "colour": 1}, where="drawing").name == "n"
    with pytest.raises(RecipeError, match=r"unknown key 'scal'; did you mean 'scale'\?"):
        decode(Drawing, {**WHOLE, "scal": 1}, where="drawing", dialect=STRICT)
    with pytest.raises(RecipeError, match="known keys: marks, name, note"):
        decode(Drawing, {**WHOLE, "zzz": 1}, where="drawing", dialect=STRICT)
