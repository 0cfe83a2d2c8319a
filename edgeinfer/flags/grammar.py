"""What a targeting rule may look like: JSON Logic with flagd's own operators.

`faults` is strict, for those who write rules; it follows flagd's published schema of targeting. `too_large` is what a
device asks before it evaluates one: a rule that costs more than a device has is none, whoever signed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from edgeinfer.flags.percentages import MOST_WEIGHT

# Operators and how many arguments they take; None where there is no upper bound.
_ARITY: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("if", "or", "and", "+", "-", "max", "min", "merge", "cat"), (1, None)),
    **dict.fromkeys(("==", "===", "!=", "!==", ">", ">=", "%", "/", "in"), (2, 2)),
    **dict.fromkeys(("map", "filter", "all", "none", "some"), (2, 2)),
    **dict.fromkeys(("substr", "<", "<="), (2, 3)),
    "*": (2, None),
    "reduce": (3, 3),
}
_ITERATING = frozenset({"map", "filter", "all", "none", "some", "reduce"})
_UNARY = ("!", "!!")
_OWN_VARIABLES = ("$flagd.timestamp", "$flagd.flagKey")
_COMPARISONS = ("=", "!=", ">", "<", ">=", "<=", "~", "^")
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
MOST_PARTS = 5000
_MOST_DEPTH, _MOST_ITEMS, _MOST_NESTED = 80, 200, 2


def too_large(rule: object) -> str:
    """Return what makes a rule cost more than a device spends on one, or nothing."""
    parts = depth = 0
    level, iterates = [rule], False
    while level:
        parts, depth = parts + len(level), depth + 1
        if parts > MOST_PARTS:
            return f"more than {MOST_PARTS} parts"
        if depth > _MOST_DEPTH:
            return f"deeper than {_MOST_DEPTH}"
        below: list[object] = []
        for node in level:
            if type(node) is dict:
                below += node.values()
                iterates = iterates or not _ITERATING.isdisjoint(node)
            elif type(node) is list:
                below += node
        level = below
    return _iterations(rule, 0) if iterates else ""


def _iterations(node: object, within: int) -> str:
    """Return what is wrong with the iterations of a rule that is not too deep, or nothing."""
    if within > _MOST_NESTED:
        return f"iterating within more than {_MOST_NESTED} iterations"
    if isinstance(node, dict):
        return next(
            filter(None, (_iterations(each, within + (name in _ITERATING)) for name, each in node.items())),
            "",
        )
    if isinstance(node, list):
        if within and len(node) > _MOST_ITEMS:
            return f"iterating over a list of more than {_MOST_ITEMS}"
        return next(filter(None, (_iterations(each, within) for each in node)), "")
    return ""


def faults(rule: object, where: str = "targeting") -> Iterator[str]:
    """Yield what is wrong with a targeting rule, each with its place."""
    if not isinstance(rule, dict):
        yield f"{where} is no rule"
    elif rule:
        found = too_large(rule)
        if found:
            yield f"{where} is {found}"
        else:
            yield from _rule(rule, where)


def _rule(rule: dict[str, Any], where: str) -> Iterator[str]:
    if len(rule) != 1:
        yield f"{where} has {len(rule)} operators, expected one"
        return
    ((name, value),) = rule.items()
    where = f"{where}.{name}"
    if name in _SPECIAL:
        yield from _SPECIAL[name](value, where)
    elif name in _UNARY:
        yield from _arguments(value if isinstance(value, list) else [value], (1, 1), where)
    elif name in _ARITY:
        yield from _arguments(value, _ARITY[name], where)
    else:
        yield f"{where} is no operator"


def _arguments(value: object, arity: tuple[int, int | None], where: str) -> Iterator[str]:
    least, most = arity
    if not isinstance(value, list):
        yield f"{where} takes a list of arguments"
    elif len(value) < least or (most is not None and len(value) > most):
        yield f"{where} takes {least if most == least else f'{least} or more'} arguments, found {len(value)}"
    else:
        for index, each in enumerate(value):
            yield from _argument(each, f"{where}[{index}]")


def _argument(value: object, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            if not isinstance(value["$ref"], str):
                yield f"{where}.$ref names no evaluator"
        else:
            yield from _rule(value, where)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _argument(each, f"{where}[{index}]")


def _variable(value: object, where: str) -> Iterator[str]:
    name = value[0] if isinstance(value, list) and value else value
    if value == [] or (isinstance(value, list) and not isinstance(name, str)):
        yield f"{where} names no variable"
    elif isinstance(name, str) and name.startswith("$flagd.") and name not in _OWN_VARIABLES:
        yield f"{where} names {name}, expected one of {', '.join(_OWN_VARIABLES)}"
    elif isinstance(name, dict):
        yield from _argument(name, where)


def _names(value: object, where: str) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        yield f"{where} takes a list of names"


def _some_names(value: object, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != 2 or not _is_number(value[0]):
        yield f"{where} takes a number and a list of names"
    else:
        yield from _names(value[1], f"{where}[1]")


def _texts(value: object, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != 2:
        yield f"{where} takes 2 arguments"
        return
    for index, each in enumerate(value):
        if isinstance(each, dict):
            yield from _argument(each, f"{where}[{index}]")
        elif not isinstance(each, str):
            yield f"{where}[{index}] is no text"


def _versions(value: object, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != 3:
        yield f"{where} takes 3 arguments"
        return
    if value[1] not in _COMPARISONS:
        yield f"{where}[1] is {value[1]!r}, expected one of {' '.join(_COMPARISONS)}"
    for index in (0, 2):
        each, place = value[index], f"{where}[{index}]"
        if isinstance(each, dict) and set(each) == {"var"}:
            yield from _argument(each, place)
        elif not isinstance(each, str) or not _VERSION.fullmatch(each):
            yield f"{place} is {each!r}, expected a version such as 1.2.3, or a variable"


def _shares(value: object, where: str) -> Iterator[str]:
    if not isinstance(value, list) or not value:
        yield f"{where} takes a list of shares"
        return
    shares, first = value, 0
    if isinstance(value[0], dict):
        yield from _argument(value[0], f"{where}[0]")
        shares, first = value[1:], 1
    total = 0
    for index, each in enumerate(shares, start=first):
        place = f"{where}[{index}]"
        if not isinstance(each, list) or not 1 <= len(each) <= 2:
            yield f"{place} is no share: expected a variant and a weight"
            continue
        yield from _argument(each[0], f"{place}[0]")
        weight = each[1] if len(each) == 2 else 1
        if isinstance(weight, dict):
            yield from _argument(weight, f"{place}[1]")
        elif not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
            yield f"{place}[1] is {weight!r}, expected a whole number of 0 or more"
        else:
            total += weight
    if total > MOST_WEIGHT:
        yield f"the weights of {where} sum to {total}, expected {MOST_WEIGHT} at most"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SPECIAL = {
    "var": _variable,
    "missing": _names,
    "missing_some": _some_names,
    "starts_with": _texts,
    "ends_with": _texts,
    "sem_ver": _versions,
    "fractional": _shares,
}
