"""Frozen dataclasses that cost next to nothing to define.

The standard library's `dataclass(frozen=True)` writes and compiles up to six methods for each class. That is half a
millisecond, and edgeinfer defines some seventy: it was a third of the time from a program's start to its first answer.
Here one set of methods serves all classes. `dataclasses.fields`, `replace`, `asdict` and `is_dataclass` work as ever.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import MISSING, FrozenInstanceError
from typing import Any, NoReturn, TypeVar, dataclass_transform

Class = TypeVar("Class", bound=type)
Record = TypeVar("Record")
_SPECIAL = ("ClassVar", "typing.ClassVar", "InitVar", "dataclasses.InitVar", "KW_ONLY")


@dataclasses.dataclass(init=False, repr=False, eq=False)
class _Model:
    """Tells how `dataclasses` marks a plain field."""

    field: int


_PLAIN: object = getattr(dataclasses.fields(_Model)[0], "_field_type")  # noqa: B009 - it has no public name


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: Class) -> Class:
    """Make a class a frozen dataclass: made by position or name, equal by its fields, hashable where they are.

    Raises:
        TypeError: A default could be changed by one and seen by all, or a field is a `ClassVar` or `InitVar`, which
            these classes do without.
    """
    made: Any = cls
    fields: dict[str, dataclasses.Field[Any]] = {}
    for base in reversed(made.__mro__[1:]):
        fields |= getattr(base, "__dataclass_fields__", {})
    for name, written in inspect.get_annotations(cls).items():
        fields[name] = _field(made, name, written)
    made.__dataclass_fields__ = fields
    setattr(made, "__match_args__", tuple(fields))  # noqa: B010 - which mypy takes for an assignment to its own
    made.__init__, made.__repr__ = _init, _repr
    made.__eq__, made.__hash__ = _eq, _hash
    made.__setattr__, made.__delattr__ = _refuse, _refuse
    made.__reduce__ = _reduce
    return cls


def _field(cls: Any, name: str, written: object) -> Any:
    """Return a field as `dataclasses` describes it, without its search for three special kinds in the annotation."""
    if isinstance(written, str) and written.startswith(_SPECIAL):
        raise TypeError(f"{cls.__name__}.{name} is a {written}: expected a plain field")
    given: Any = vars(cls).get(name, MISSING)
    field: Any = given if isinstance(given, dataclasses.Field) else dataclasses.field(default=given)
    if field.default.__class__.__hash__ is None:
        raise TypeError(
            f"{cls.__name__}.{name} has a default that can be changed: expected a default_factory"
        )
    field.name, field.type, field._field_type = name, written, _PLAIN
    if field is given:
        if field.default is MISSING:
            delattr(cls, name)
        else:
            setattr(cls, name, field.default)
    return field


def _init(self: Any, *values: object, **named: object) -> None:
    fields = self.__dataclass_fields__
    if len(values) > len(fields):
        raise TypeError(f"{type(self).__name__} takes {len(fields)} values, found {len(values)}")
    state = dict(zip(fields, values, strict=False))
    if not state.keys().isdisjoint(named):
        raise TypeError(f"{type(self).__name__} got a value twice: {', '.join(state.keys() & named)}")
    state.update(named)
    if len(state) < len(fields) or not state.keys() <= fields.keys():
        _fill(type(self), fields, state)
    # In the order of the fields, which `vars` shows, however the values were named.
    own = self.__dict__
    for name in fields:
        own[name] = state[name]
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _fill(cls: type, fields: dict[str, dataclasses.Field[Any]], state: dict[str, object]) -> None:
    """Add defaults; complain of what is missing or unknown."""
    if unknown := sorted(state.keys() - fields.keys()):
        raise TypeError(f"{cls.__name__} has no field {', '.join(unknown)}")
    for name, field in fields.items():
        if name not in state:
            if field.default_factory is not MISSING:
                state[name] = field.default_factory()
            elif field.default is not MISSING:
                state[name] = field.default
            else:
                raise TypeError(f"{cls.__name__} lacks a value for {name}")


def _values(self: Any) -> tuple[object, ...]:
    state = self.__dict__
    return tuple([state[name] for name in self.__dataclass_fields__])


def _repr(self: Any) -> str:
    shown = [
        f"{name}={self.__dict__[name]!r}" for name, field in self.__dataclass_fields__.items() if field.repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _reduce(self: Any) -> tuple[object, ...]:
    """Let copies and pickles be made anew of all values: one of a class that has other fields by now is refused."""
    return type(self), _values(self)


def _refuse(self: Any, name: str, _value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"{type(self).__name__} is frozen: cannot change {name}")


def changed(record: Record, **values: object) -> Record:
    """Return a record with other values: `dataclasses.replace` without its checks, for what is made on every answer."""
    made = object.__new__(type(record))
    made.__dict__.update(record.__dict__)
    made.__dict__.update(values)
    return made
