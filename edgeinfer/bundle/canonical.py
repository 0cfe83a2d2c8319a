"""JSON in its one canonical spelling (RFC 8785): equal data has equal digests in every language."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping


def canonical_json(value: object) -> bytes:
    """Return RFC 8785 bytes of a JSON-like value (finite numbers only).

    Raises:
        ValueError: A number is NaN or infinite, or a value is none of JSON's.
    """
    return _write(value).encode("utf-8")


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the pairs of a JSON object as a dict: the `object_pairs_hook` of readers that refuse a key twice.

    Raises:
        ValueError: A key occurs twice.
    """
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _write(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value) if abs(value) < 2**53 else _number(float(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        # RFC 8785 section 3.2.3: names are sorted as UTF-16 code units.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_write(name)}:{_write(value[name])}" for name in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_write(item) for item in value) + "]"
    raise ValueError(f"{type(value).__name__} is not a JSON value")


def _number(value: float) -> str:
    """ECMAScript's Number::toString (ECMA-262 section 6.1.6.1.20), which RFC 8785 prescribes."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no JSON spelling")
    if value == 0:
        return "0"
    # repr gives the shortest digits that read back to the same double, as ECMAScript does.
    from decimal import Decimal

    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    spelled = "".join(map(str, digits))
    return "-" * sign + _place_point(spelled, len(spelled) + int(exponent))


def _place_point(digits: str, point: int) -> str:
    """Spell `0.digits * 10**point` as ECMAScript does."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    exponent = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return digits[0] + ("." + digits[1:] if count > 1 else "") + exponent
