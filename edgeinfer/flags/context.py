"""What a device, or a call, tells rules of itself: plain values, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from edgeinfer.errors import FlagError

_MOST_DEPTH = 20


def checked(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a context as plain values; times as text (ISO 8601).

    Raises:
        FlagError: A value is none that JSON has, or too deep.
    """
    return {_name(name, "the context"): _plain(value, str(name), 0) for name, value in context.items()}


def _plain(value: object, where: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > _MOST_DEPTH:
        raise FlagError(
            f"{where} in a context of flags is too deep", expected=f"{_MOST_DEPTH} levels at most"
        )
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {
            _name(name, where): _plain(each, f"{where}.{name}", depth + 1) for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{index}]", depth + 1) for index, each in enumerate(value)]
    raise FlagError(
        f"{where} in a context of flags",
        found=type(value).__name__,
        expected="text, a number, a boolean, None, or a list or dict of them",
    )


def _name(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise FlagError(f"a name in {where} of flags", found=repr(name), expected="text")
    return name
