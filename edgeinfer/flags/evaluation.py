"""What one flag says in a context. JSON Logic and the order of versions are flagd's evaluator's; the shares are ours.

Nothing here raises: what cannot be evaluated is a resolution that says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from edgeinfer.flags.percentages import chosen
from edgeinfer.frozen import frozen
from edgeinfer.importing import imported

if TYPE_CHECKING:
    from edgeinfer.flags.document import Definition

Reason = Literal["STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED", "STALE", "ERROR"]
ErrorCode = Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "TYPE_MISMATCH", "INVALID_CONTEXT", "GENERAL"]
Context = Mapping[str, Any]
# What may come of joining texts, lists and numbers: a rule of a few words could fill the memory else.
_MOST_LENGTH, _MOST_NUMBER = 10_000, 2.0**1000


@frozen
class Resolution:
    """What a flag says, whoever asks.

    Attributes:
        variant: Name of the variant; None where whoever asks gets their own default.
        value: Its value.
        reason: Why, in OpenFeature's words.
        error: What failed, likewise; None where nothing did.
        message: In words.
        metadata: Of the flag.
    """

    variant: str | None
    value: Any
    reason: Reason
    error: ErrorCode | None = None
    message: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def resolve(flag: Definition, context: Context, timestamp: float) -> Resolution:
    """Return what a flag says.

    Args:
        flag: Its definition.
        context: Attributes of the device and `targetingKey`.
        timestamp: The time, in seconds since 1970.
    """
    if not flag.enabled:  # first: a kill needs nothing else of a flag to be right
        return Resolution(None, None, "DISABLED", metadata=flag.metadata)
    if flag.fault:
        return failed(flag, "PARSE_ERROR", flag.fault)
    return _default(flag, "STATIC") if flag.targeting is None else _targeted(flag, context, timestamp)


def seen_by_rules(flag: Definition, context: Context, timestamp: float) -> dict[str, Any]:
    """Return what a flag's rule sees: the context, and what flagd adds to it."""
    return {
        "targetingKey": None,
        **context,
        "$flagd": {"flagKey": flag.key, "timestamp": int(timestamp)},
    }


def evaluated(rule: object, data: Context) -> Any:
    """Return what a rule gives; raises whatever evaluating it raises."""
    return _json_logic()(rule, data, _operators())


def _targeted(flag: Definition, context: Context, timestamp: float) -> Resolution:
    try:
        found = evaluated(flag.targeting, seen_by_rules(flag, context, timestamp))
        variant = str(found).lower() if isinstance(found, bool) else str(found)
    except ReferenceError as error:  # an operator that is none
        return failed(flag, "PARSE_ERROR", f"its targeting: {error}")
    except Exception as error:  # whatever a rule makes of a context
        return failed(flag, "GENERAL", f"its targeting failed ({type(error).__name__}: {error})"[:200])
    return _default(flag, "DEFAULT") if found is None else _of(flag, variant, "TARGETING_MATCH")


def failed(flag: Definition, error: ErrorCode, message: str) -> Resolution:
    """Return the resolution of a flag that cannot be evaluated."""
    return Resolution(None, None, "ERROR", error, message, flag.metadata)


def stale(flag: Definition) -> Resolution:
    """Return what holds where a document is too old for a flag."""
    if flag.stale_variant is None or not flag.enabled or flag.fault:
        return Resolution(None, None, "STALE", metadata=flag.metadata)
    return _of(flag, flag.stale_variant, "STALE")


def _default(flag: Definition, reason: Reason) -> Resolution:
    if flag.default_variant is None:
        return Resolution(None, None, "DEFAULT", metadata=flag.metadata)
    return _of(flag, flag.default_variant, reason)


def _of(flag: Definition, variant: str, reason: Reason) -> Resolution:
    if flag.variants.get(variant) is None:
        return failed(flag, "GENERAL", f"it has no variant {variant[:40]!r}")
    return Resolution(variant, flag.variants[variant], reason, metadata=flag.metadata)


def shares(data: Any, *arguments: Any) -> object:
    """`fractional`: return the variant whose share a device falls into, or None where they cannot be told apart."""
    by: Any = None
    if arguments and not isinstance(arguments[0], list):
        by, arguments = arguments[0], arguments[1:]
    elif data.get("targetingKey") and isinstance(data["targetingKey"], str):
        by = [data.get("$flagd", {}).get("flagKey", ""), data["targetingKey"]]
    if by is None:
        return None
    weights = []
    for each in arguments:
        if not isinstance(each, list) or not 1 <= len(each) <= 2:
            return None
        weight = each[1] if len(each) == 2 else 1
        if not isinstance(weight, int) or isinstance(weight, bool):
            return None
        weights.append(weight)
    try:
        place = chosen(by, weights)
    except (ValueError, RecursionError):
        return None
    found: object = None if place is None else arguments[place][0]
    return found


@cache
def _json_logic() -> Any:
    return imported("json_logic").jsonLogic


@cache
def _operators() -> dict[str, Any]:
    """Return the operators: flagd's, each with a bound on what comes of it, and the shares as they never change."""
    # They log an error for each context that a rule was not made for: not to the terminal of an app without logging.
    logging.getLogger("openfeature.contrib").addHandler(logging.NullHandler())
    theirs: dict[str, Any] = imported("openfeature.contrib.tools.flagd.core.targeting.targeting").OPERATORS
    bounded = {name: _bounded(work) for name, work in theirs.items() if name != "log"}
    return {**bounded, "fractional": shares}


def _bounded(work: Any) -> Any:
    def within_bounds(*arguments: Any) -> Any:
        found = work(*arguments)
        if isinstance(found, str | list) and len(found) > _MOST_LENGTH:
            raise OverflowError(f"more than {_MOST_LENGTH} characters or items")
        if isinstance(found, int) and abs(found) > _MOST_NUMBER:
            raise OverflowError("a number beyond all measure")
        return found

    return within_bounds
