"""What one flag says in a context. JSON Logic and the order of versions are flagd's evaluator's; the shares are ours.

Nothing here raises: what cannot be evaluated is a resolution that says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from edgeinfer.flags.percentages import chosen, chosen_at, position_of
from edgeinfer.frozen import changed, frozen
from edgeinfer.importing import imported

if TYPE_CHECKING:
    from edgeinfer.flags.document import Definition

Reason = Literal["STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED", "STALE", "ERROR"]
ErrorCode = Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "TYPE_MISMATCH", "INVALID_CONTEXT", "GENERAL"]
Context = Mapping[str, Any]
# What may come of joining texts, lists and numbers: a rule of a few words could fill the memory else.
_MOST_LENGTH, _MOST_NUMBER = 10_000, 2.0**1000
_ROLLOUT = "rollout"


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
        position: Where on the line of shares the device stands in the flag's rollout; None where the flag is of none,
            or its rule did not ask yet.
    """

    variant: str | None
    value: Any
    reason: Reason
    error: ErrorCode | None = None
    message: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    position: int | None = None


class Standing:
    """Where a device stands on the line of shares in a rollout: as it was drawn once, or drawn when it is asked for.

    Attributes:
        position: None before it is drawn.
    """

    def __init__(self, position: int | None) -> None:
        self.position = position

    def of(self, value: object) -> int:
        """Return the position; a value is hashed for it once.

        Raises:
            ValueError: The value cannot be written as CBOR.
        """
        if self.position is None:
            self.position = position_of(value)
        return self.position


def rollout_of(flag: Definition) -> str | None:
    """Return the id of the rollout that a flag belongs to, or None."""
    rollout = flag.metadata.get(_ROLLOUT)
    return rollout if isinstance(rollout, str) and rollout else None


def resolve(flag: Definition, context: Context, timestamp: float, position: int | None = None) -> Resolution:
    """Return what a flag says.

    Args:
        flag: Its definition.
        context: Attributes of the device and `targetingKey`.
        timestamp: The time, in seconds since 1970.
        position: Where the device stands in the flag's rollout; None where it was not drawn yet.
    """
    if not flag.enabled:  # first: a kill needs nothing else of a flag to be right
        return Resolution(None, None, "DISABLED", metadata=flag.metadata)
    if flag.fault:
        return failed(flag, "PARSE_ERROR", flag.fault)
    if flag.targeting is None:
        return _default(flag, "STATIC")
    data = seen_by_rules(flag, context, timestamp)
    if rollout_of(flag) is None:
        return _targeted(flag, data, None)
    standing = Standing(position)
    return changed(_targeted(flag, data, standing), position=standing.position)


def seen_by_rules(flag: Definition, context: Context, timestamp: float) -> dict[str, Any]:
    """Return what a flag's rule sees: the context, and what flagd adds to it."""
    return {
        "targetingKey": None,
        **context,
        "$flagd": {"flagKey": flag.key, "timestamp": int(timestamp)},
    }


def evaluated(rule: object, data: Context, standing: Standing | None = None) -> Any:
    """Return what a rule gives; raises whatever evaluating it raises."""
    operators = _operators()
    if standing is not None:
        operators = {**operators, "fractional": partial(shares, standing=standing)}
    return _json_logic()(rule, data, operators)


def _targeted(flag: Definition, data: Context, standing: Standing | None) -> Resolution:
    try:
        found = evaluated(flag.targeting, data, standing)
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


def shares(data: Any, *arguments: Any, standing: Standing | None = None) -> object:
    """`fractional`: return the variant whose share a device falls into, or None where they cannot be told apart.

    Args:
        data: What the rule sees.
        arguments: The shares; before them what tells devices apart, unless it is the flag and `targetingKey`.
        standing: Where the device stands in a rollout, if it is told apart by these two.
    """
    own = not arguments or isinstance(arguments[0], list)
    by = _usual_key(data) if own else arguments[0]
    pairs = arguments if own else arguments[1:]
    weights = []
    for each in pairs:
        if not isinstance(each, list) or not 1 <= len(each) <= 2:
            return None
        weight = each[1] if len(each) == 2 else 1
        if not isinstance(weight, int) or isinstance(weight, bool):
            return None
        weights.append(weight)
    try:
        place = _chosen(by, weights, standing if own else None)
    except (ValueError, RecursionError):
        return None
    found: object = None if place is None else pairs[place][0]
    return found


def _usual_key(data: Any) -> list[Any] | None:
    key = data.get("targetingKey")
    return [data.get("$flagd", {}).get("flagKey", ""), key] if key and isinstance(key, str) else None


def _chosen(by: object, weights: list[int], standing: Standing | None) -> int | None:
    if standing is not None and (by is not None or standing.position is not None):
        return chosen_at(standing.of(by), weights)
    return None if by is None else chosen(by, weights)


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
