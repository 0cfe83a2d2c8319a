"""A flag as a program declares it: a name, and a default whose type is the flag's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgeinfer.errors import FlagError
from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.flags.evaluation import ErrorCode, Reason

Value = TypeVar("Value", bool, int, float, str, dict[str, Any])
_LARGEST = sys.float_info.max
_KINDS: tuple[type, ...] = (bool, int, float, str, dict)


class Flag(Generic[Value]):
    """A question that a document of flags may answer.

        CLOUD = Flag("cloud_fallback", default=False)

    Attributes:
        key: Its name in the document.
        default: What it is without an answer, and of the answer's type: `True` answers no flag of whole numbers. A
            whole number answers a flag of fractions.
        kind: That type.

    Raises:
        FlagError: The name is empty, or the default is of no type that a flag has.
    """

    __slots__ = ("default", "key", "kind")

    def __init__(self, key: str, default: Value) -> None:
        if not isinstance(key, str) or not key:
            raise FlagError("the name of a flag", found=repr(key), expected="text")
        if type(default) not in _KINDS:
            raise FlagError(
                f"the default of flag {key}",
                found=type(default).__name__,
                expected="True or False, a number, text or a dict",
            )
        self.key: str = key
        self.default: Value = default
        self.kind: type[Value] = type(default)

    def __repr__(self) -> str:
        return f"Flag({self.key!r}, default={self.default!r})"


@frozen
class FlagDetails(Generic[Value]):
    """A flag's answer, and why.

    Attributes:
        key: The flag's name.
        value: The answer.
        variant: Its name in the document; None where the value is the program's default.
        reason: `STATIC`, `TARGETING_MATCH`, `DEFAULT`, `DISABLED` (it was killed), `STALE` or `ERROR`.
        error: What failed; None where nothing did.
        message: In words.
        metadata: What the document says beside.
    """

    key: str
    value: Value
    variant: str | None
    reason: Reason
    error: ErrorCode | None = None
    message: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def fits(value: object, kind: type) -> bool:
    """Whether a value answers flags of a kind."""
    return type(value) is kind or (
        kind is float and isinstance(value, int) and type(value) is int and abs(value) <= _LARGEST
    )
