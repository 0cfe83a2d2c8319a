"""Which rule decided: a flag's targeting told step by step, as it goes for one context."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edgeinfer.flags.document import Definition
from edgeinfer.flags.evaluation import Context, evaluated, resolve, seen_by_rules
from edgeinfer.flags.percentages import bucket


def explained(flag: Definition, context: Context, timestamp: float) -> Iterator[str]:
    """Yield how a flag comes to its answer, a line each, the answer last.

    Args:
        flag: Its definition.
        context: Attributes, and `targetingKey`.
        timestamp: The time, in seconds since 1970.
    """
    if flag.enabled and not flag.fault and flag.targeting is not None:
        try:
            yield from _told(flag.targeting, seen_by_rules(flag, context, timestamp))
        except Exception as error:  # whatever a rule makes of a context
            yield f"fails: {type(error).__name__}: {error}"
    found = resolve(flag, context, timestamp)
    if found.variant is None:
        why = found.message or {"DISABLED": "it was killed"}.get(
            found.reason, "no rule and no default variant"
        )
        yield f"{flag.key} = the program's default ({found.reason}: {why})"
    else:
        yield f"{flag.key} = {_short(found.value)} (variant {found.variant}, {found.reason})"


def _told(rule: Any, data: Context) -> Iterator[str]:
    """Tell of the branches that are taken, down to what decides."""
    if not isinstance(rule, dict) or len(rule) != 1:
        yield f"gives {_short(rule)}"
        return
    ((name, value),) = rule.items()
    arguments = value if isinstance(value, list) else [value]
    if name == "if":
        yield from _branches(arguments, data)
    elif name == "fractional":
        yield from _shares(arguments, data)
    else:
        yield f"{_short(rule)} is {_short(evaluated(rule, data))}"


def _branches(arguments: list[Any], data: Context) -> Iterator[str]:
    at = 0
    while at + 1 < len(arguments):
        held = bool(evaluated({"!!": [arguments[at]]}, data))
        yield f"if {_short(arguments[at])}: {'yes' if held else 'no'}"
        if held:
            yield from _told(arguments[at + 1], data)
            return
        at += 2
    if at < len(arguments):
        yield from _told(arguments[at], data)
    else:
        yield "no branch is taken"


def _shares(arguments: list[Any], data: Context) -> Iterator[str]:
    by: Any = [data["$flagd"]["flagKey"], data.get("targetingKey")]
    if arguments and not isinstance(arguments[0], list):
        by, arguments = evaluated(arguments[0], data), arguments[1:]
    weights = [evaluated(each[1], data) if len(each) == 2 else 1 for each in arguments]
    unknown = by is None or (isinstance(by, list) and None in by)
    if unknown or not all(isinstance(each, int) for each in weights):
        yield "shares: there is nothing to tell this device apart by, or a weight is no whole number"
        return
    total = sum(max(0, each) for each in weights)
    shares = ", ".join(
        f"{_short(each[0])} {max(0, weight) / total:.3%}"
        for each, weight in zip(arguments, weights, strict=True)
        if total
    )
    yield f"shares by {_short(by)}: {shares}"
    if total:
        yield f"this device is at {bucket(by, total) / total:.3%}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:157] + "..."
