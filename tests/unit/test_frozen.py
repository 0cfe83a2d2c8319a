"""Our frozen classes beside those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.frozen import frozen


@frozen
class Ours:
    """Fields of every kind."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()
    d: dict[str, int] = dataclasses.field(default_factory=dict)
    e: float = dataclasses.field(default=0.5, repr=False)


@dataclasses.dataclass(frozen=True)
class Theirs:
    """The same."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()
    d: dict[str, int] = dataclasses.field(default_factory=dict)
    e: float = dataclasses.field(default=0.5, repr=False)


values = st.fixed_dictionaries(
    {"a": st.integers()},
    optional={
        "b": st.text(),
        "c": st.lists(st.integers()).map(tuple),
        "d": st.dictionaries(st.text(), st.integers()),
        "e": st.floats(allow_nan=False),
    },
)


@given(values, values)
def test_they_are_made_compared_shown_and_changed_alike(one, other):
    ours, theirs = Ours(**one), Theirs(**one)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert (ours == Ours(**other)) == (theirs == Theirs(**other))
    assert list(vars(ours)) == [field.name for field in dataclasses.fields(Ours)]
    changed = dataclasses.replace(ours, a=7)
    assert (changed.a, changed.b, ours.a) == (7, ours.b, one["a"])
    assert pickle.loads(pickle.dumps(ours)) == copy.deepcopy(ours) == ours


def test_what_is_hashable_is_and_what_is_not_is_not():
    @frozen
    class Plain:
        x: int
        y: str = ""

    assert len({Plain(1), Plain(1), Plain(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours(1))
    assert Plain(1) != Theirs(1)


def test_nothing_can_be_changed_and_wrong_arguments_are_named():
    one = Ours(1)
    for change in (lambda: setattr(one, "a", 2), lambda: setattr(one, "new", 2), lambda: delattr(one, "a")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    for make, message in (
        (Ours, "lacks a value for a"),
        (lambda: Ours(1, z=2), "has no field z"),
        (lambda: Ours(1, a=2), "a value twice: a"),
        (lambda: Ours(1, "b", (), {}, 0.1, 6), "takes 5 values, found 6"),
    ):
        with pytest.raises(TypeError, match=message):
            make()


def test_each_gets_a_default_of_its_own():
    assert Ours(1).d is not Ours(1).d


def test_what_these_classes_do_without_is_refused_when_they_are_defined():
    with pytest.raises(TypeError, match=r"Shares\.a has a default that can be changed"):

        @frozen
        class Shares:
            a: list[int] = []  # noqa: RUF012

    with pytest.raises(TypeError, match=r"Counts\.made is a ClassVar\[int\]: expected a plain field"):

        @frozen
        class Counts:
            made: ClassVar[int] = 0


def test_a_class_has_the_fields_of_its_base_first():
    @frozen
    class Base:
        a: int
        b: int = 2

    @frozen
    class More(Base):
        c: int = 3

    assert [field.name for field in dataclasses.fields(More)] == ["a", "b", "c"]
    assert More(1) == More(a=1, b=2, c=3)
    match More(1):
        case More(a, b, c):
            assert (a, b, c) == (1, 2, 3)
