"""Changes to documents of flags that a release manager makes: pure, from one parsed document to the next."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from edgeinfer.errors import FlagError
from edgeinfer.flags.document import VERSION, version_of

Parsed = dict[str, Any]
# Runs what the rest runs, and is counted apart.
CONTROL = "control"
_WHOLE = 100_000  # weights of a share are thousandths of a percent


def killed(document: Parsed, key: str) -> Parsed:
    """Return the document with a flag killed: whoever asks gets their own default.

    Raises:
        FlagError: There is no such flag.
    """
    return _with_state(document, key, "DISABLED")


def revived(document: Parsed, key: str) -> Parsed:
    """Return the document with a flag that was killed evaluated again.

    Raises:
        FlagError: There is no such flag.
    """
    return _with_state(document, key, "ENABLED")


def ramped(
    document: Parsed, key: str, percent: float, variant: str | None = None, *, control: bool = False
) -> Parsed:
    """Return the document with another share of devices in a flag's variant.

    The variant has the first share, and the rest the other: so a ramp up only adds devices, and a ramp down removes
    those that came last. A control has the last share, of the same size as the variant's: it runs what the rest runs
    under a name of its own, so that equal numbers can be compared at the same time. It too only grows while the variant
    is ramped up to 50%; beyond that it is what is left.

    Args:
        document: The document.
        key: The flag: its targeting has one `fractional` of two shares, or of three with its control, or it has no
            targeting yet.
        percent: 0 to 100, in thousandths at most.
        variant: The one that is ramped, where there is no share yet; the default variant gets the rest.
        control: Whether to begin a control; one that is there goes on.

    Raises:
        FlagError: There is no such flag or variant, or it is not clear what is to be ramped, or compared with.
    """
    if not 0 <= percent <= 100:
        raise FlagError(f"the share of flag {key}", found=f"{percent:g}%", expected="0% to 100%")
    new = copy.deepcopy(document)
    flag = _flag(new, key)
    rule = _ramped_rule(flag, key, variant)
    by, shares = _parted(rule)
    first, rest = shares[0][0], shares[1][0]
    weight = round(percent * _WHOLE / 100)
    control = control or len(shares) == 3
    beside = min(weight, _WHOLE - weight) if control else 0
    rule[:] = [*by, [first, weight], [rest, _WHOLE - weight - beside]]
    if control:
        _add_control(flag["variants"], key, first, rest)
        rule.append([CONTROL, beside])
    return _next(new)


def _ramped_rule(flag: dict[str, Any], key: str, variant: str | None) -> list[Any]:
    """Return the arguments of the `fractional` that is ramped: one of two shares, or of three with a control."""
    if not flag.get("targeting"):
        rest = flag.get("defaultVariant")
        if variant not in flag["variants"] or rest not in flag["variants"] or variant == rest:
            raise FlagError(
                f"flag {key} has no shares yet",
                found=variant or "no variant to ramp",
                expected=f"one of {', '.join(each for each in flag['variants'] if each != rest)}",
                next_step="name the variant that is to be ramped",
            )
        begun: list[Any] = [[variant], [rest]]
        flag["targeting"] = {"fractional": begun}
        return begun
    rules = list(_fractionals(flag["targeting"]))
    shares = _parted(rules[0])[1] if len(rules) == 1 else []
    if len(shares) != 2 and [each[:1] for each in shares[2:]] != [[CONTROL]]:
        raise FlagError(
            f"what to ramp in flag {key}",
            found=f"{len(rules)} times `fractional`" if len(rules) != 1 else f"{len(shares)} shares",
            expected="one `fractional` of two shares: the variant that is ramped, and the rest",
        )
    if variant is not None and shares[0][0] != variant:
        raise FlagError(f"the first share of flag {key}", found=shares[0][0], expected=variant)
    return rules[0]


def _add_control(variants: dict[str, Any], key: str, first: Any, rest: Any) -> None:
    """Let the control be what the rest is."""
    if CONTROL in (first, rest) or not isinstance(rest, str) or rest not in variants:
        raise FlagError(
            f"flag {key} cannot have a control",
            found=f"{_short(first)} and {_short(rest)} in its shares",
            expected=f"names of variants, none of them {CONTROL!r}",
        )
    if variants.setdefault(CONTROL, variants[rest]) != variants[rest]:
        raise FlagError(
            f"the control of flag {key}", found=_short(variants[CONTROL]), expected=_short(variants[rest])
        )


def differences(old: Parsed, new: Parsed) -> list[str]:
    """Return what is other in a document than in one before, a line each."""
    before, after = old.get("flags", {}), new.get("flags", {})
    lines = [f"+ {key}" for key in after if key not in before]
    lines += [f"- {key}" for key in before if key not in after]
    for key in before:
        if key in after and before[key] != after[key]:
            lines += [f"~ {key}.{line}" for line in _changes(before[key], after[key])]
    for name in ("metadata", "$evaluators"):
        if old.get(name) != new.get(name):
            lines += [f"~ {name}.{line}" for line in _changes(old.get(name) or {}, new.get(name) or {})]
    return lines


def _changes(before: Any, after: Any) -> Iterator[str]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield f": {_short(before)} -> {_short(after)}"
        return
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield f"{name}: {_short(before.get(name))} -> {_short(after.get(name))}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."


def _with_state(document: Parsed, key: str, state: str) -> Parsed:
    new = copy.deepcopy(document)
    _flag(new, key)["state"] = state
    return _next(new)


def _flag(document: Parsed, key: str) -> dict[str, Any]:
    flag: dict[str, Any] | None = document["flags"].get(key)
    if flag is None:
        known = ", ".join(list(document["flags"])[:10]) or "none"
        raise FlagError(f"there is no flag {key}", expected=f"one of {known}")
    return flag


def _fractionals(rule: Any) -> Iterator[list[Any]]:
    """Yield the arguments of each `fractional` in a rule."""
    if isinstance(rule, dict):
        for name, value in rule.items():
            if name == "fractional" and isinstance(value, list):
                yield value
            yield from _fractionals(value)
    elif isinstance(rule, list):
        for each in rule:
            yield from _fractionals(each)


def _parted(arguments: list[Any]) -> tuple[list[Any], list[list[Any]]]:
    """Return what a `fractional` tells devices apart by, if it says so, and its shares."""
    shares = [each for each in arguments if isinstance(each, list)]
    return [each for each in arguments if not isinstance(each, list)], shares


def _next(document: Parsed) -> Parsed:
    """Return the document as the release after."""
    metadata = document.setdefault("metadata", {})
    metadata[VERSION] = str(version_of(metadata) + 1)
    return document
