"""JSON-like values to frozen dataclasses and back, with errors that name the place.

One small reader serves the manifest, the recipe and every document to come. It knows: str, int,
float, bool, None, literals, tuples of one type, string-keyed mappings, optional values, nested
dataclasses, and unions of dataclasses told apart by their literal `op` or `kind` field. Where a field has a
default, null is the same as absence. Numbers are strict: a bool is no int, a string is no number, an
int is taken where a float is declared, and no number may be NaN, infinite, or beyond what a double
counts exactly. Why not a library: docs/decisions/0002-own-codec.md.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from edgeinfer.bundle.containers import GET_ANOTHER
from edgeinfer.errors import EdgeInferError, ManifestError
from edgeinfer.frozen import frozen

T = TypeVar("T")
_UNPRINTABLE = "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
# Every whole number up to here is a double too: JSON readers of other languages agree on it.
_LARGEST_INT = 2**53 - 1
# Fields that tell the members of a union apart.
_TAGS = ("op", "kind")
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}


@frozen
class Dialect:
    """How strict to be, and which error to raise.

    Attributes:
        error: The error raised, built as `error(what, found=..., expected=..., next_step=...)`.
        forbid_unknown: Whether a field the dataclass does not have is an error. A manifest reader
            ignores such fields, so that a newer writer may add some; a recipe reader refuses them.
        next_step: The advice that ends every message.
    """

    error: type[EdgeInferError]
    forbid_unknown: bool
    next_step: str


MANIFEST = Dialect(ManifestError, forbid_unknown=False, next_step=GET_ANOTHER)


def decode(kind: type[T], value: object, *, where: str, dialect: Dialect = MANIFEST) -> T:
    """Build a `kind` from parsed JSON or TOML.

    Args:
        kind: A dataclass.
        value: What the parser returned.
        where: Name of the document, the first part of every place in a message.
        dialect: Strictness and error type.

    Raises:
        EdgeInferError: The dialect's error, naming the field, what was found and what was expected.
    """
    result: T = _decode(kind, value, where, dialect)
    return result


def encode(value: object) -> Any:
    """Turn a dataclass into what `json.dumps` takes; fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: encode(item) for name, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def _decode(kind: Any, value: object, where: str, dialect: Dialect) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(kind), value, where, dialect)
    if origin is Literal:
        options = typing.get_args(kind)
        if not any(type(value) is type(option) and value == option for option in options):
            raise _refusal(where, value, " or ".join(repr(option) for option in options), dialect)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _refusal(where, value, "a list", dialect)
        item_kind = typing.get_args(kind)[0]
        return tuple(_decode(item_kind, item, f"{where}[{at}]", dialect) for at, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _refusal(where, value, "a table", dialect)
        item_kind = typing.get_args(kind)[1]
        for key in value:
            _check_text(where, key, dialect)
        return {key: _decode(item_kind, item, f"{where}.{key}", dialect) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind, value, where, dialect)
    return _decode_scalar(kind, value, where, dialect)


def _decode_scalar(kind: Any, value: object, where: str, dialect: Dialect) -> Any:
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**1023 else math.inf
    if type(value) is not kind:
        raise _refusal(where, value, _NAMES.get(kind, kind.__name__), dialect)
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(where, value, "a finite number", dialect)
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        raise _refusal(where, value, f"a whole number of at most {_LARGEST_INT}", dialect)
    if isinstance(value, str):
        _check_text(where, value, dialect)
    return value


def _decode_union(kinds: tuple[Any, ...], value: object, where: str, dialect: Dialect) -> Any:
    if value is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    if len(rest) == 1:
        return _decode(rest[0], value, where, dialect)
    if all(dataclasses.is_dataclass(kind) for kind in rest):
        tag = next(name for name in _TAGS if all(name in field_types(kind) for kind in rest))
        by_tag = {typing.get_args(field_types(kind)[tag])[0]: kind for kind in rest}
        given = value.get(tag) if isinstance(value, Mapping) else None
        if not isinstance(given, str) or given not in by_tag:
            found = value if given is None else given
            raise _refusal(f"{where}.{tag}", found, "one of " + ", ".join(sorted(by_tag)), dialect)
        return _decode(by_tag[given], value, where, dialect)
    for kind in rest:
        if type(value) in ((list, tuple) if typing.get_origin(kind) is tuple else (kind,)):
            return _decode(kind, value, where, dialect)
    names = [_NAMES.get(typing.get_origin(kind) or kind, str(kind)) for kind in rest]
    raise _refusal(where, value, " or ".join(names), dialect)


def _decode_fields(kind: Any, value: object, where: str, dialect: Dialect) -> Any:
    if not isinstance(value, Mapping):
        raise _refusal(where, value, "a table", dialect)
    hints = field_types(kind)
    if dialect.forbid_unknown:
        for key in value:
            if key not in hints:
                import difflib

                near = difflib.get_close_matches(str(key), hints, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(hints))}"
                raise dialect.error(f"{where} has the unknown key {key!r}", next_step=hint)
    found = {}
    for field in dataclasses.fields(kind):
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if field.name in value and not (optional and value[field.name] is None):
            found[field.name] = _decode(
                hints[field.name], value[field.name], f"{where}.{field.name}", dialect
            )
        elif not optional:
            raise dialect.error(f"{where} lacks the field {field.name!r}", next_step=dialect.next_step)
    return kind(**found)


def _check_text(where: str, value: object, dialect: Dialect) -> None:
    """Refuse what cannot be written as UTF-8, and control characters that could steer a terminal."""
    # What is printable, as nearly all is, spares the pattern.
    if not isinstance(value, str) or not (value.isprintable() or not re.search(_UNPRINTABLE, value)):
        raise _refusal(where, value, "text without control characters or halves of surrogate pairs", dialect)


@functools.cache
def field_types(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name; its module may import them when they are asked for here."""
    found = {}
    for base in reversed(kind.__mro__):
        for name, written in inspect.get_annotations(base).items():
            found[name] = _meaning(written, base.__module__) if isinstance(written, str) else written
    return found


@functools.cache
def _meaning(annotation: str, module: str) -> Any:
    """Evaluate an annotation in its module, each once: `typing.get_type_hints` would for every class anew."""
    return eval(annotation, {}, _Names(module))  # noqa: S307 - written in this program's own classes


class _Names(dict[str, Any]):
    """What a module gives for its names, those that it imports when asked for among them."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = sys.modules[module]

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise KeyError(name) from None


def _refusal(where: str, value: object, expected: str, dialect: Dialect) -> EdgeInferError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return dialect.error(where, found=shown, expected=expected, next_step=dialect.next_step)
