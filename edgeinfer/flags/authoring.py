"""Changes to documents of flags that a release manager makes: pure, from one parsed document to the next."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from edgeinfer.errors import FlagError
from edgeinfer.flags.document import VERSION, version_of

Parsed = dict[str, Any]
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


def ramped(document: Parsed, key: str, percent: float, variant: str | None = None) -> Parsed:
    """Return the document with another share of devices in a flag's variant.

    The variant has the first share, and the rest the other: so a ramp up only adds devices, and a ramp down removes
    those that came last.

    Args:
        document: The document.
        key: The flag: its targeting has one `fractional` of two shares, or it has no targeting yet.
        percent: 0 to 100, in thousandths at most.
        variant: The one that is ramped, where there is no share yet; the default variant gets the rest.

    Raises:
        FlagError: There is no such flag or variant, or it is not clear what is to be ramped.
    """
    if not 0 <= percent <= 100:
        raise FlagError(f"the share of flag {key}", found=f"{percent:g}%", expected="0% to 100%")
    new = copy.deepcopy(document)
    flag = _flag(new, key)
    weight = round(percent * _WHOLE / 100)
    found = list(_shares(flag.get("targeting", {})))
    if not flag.get("targeting"):
        rest = flag.get("defaultVariant")
        if variant not in flag["variants"] or rest not in flag["variants"] or variant == rest:
            raise FlagError(
                f"flag {key} has no shares yet",
                found=variant or "no variant to ramp",
                expected=f"one of {', '.join(each for each in flag['variants'] if each != rest)}",
                next_step="name the variant that is to be ramped",
            )
        flag["targeting"] = {"fractional": [[variant, weight], [rest, _WHOLE - weight]]}
    elif len(found) != 1 or len(found[0]) != 2:
        raise FlagError(
            f"what to ramp in flag {key}",
            found=f"{len(found)} times `fractional`" if len(found) != 1 else f"{len(found[0])} shares",
            expected="one `fractional` of two shares: the variant that is ramped, and the rest",
        )
    else:
        (first, second) = found[0]
        if variant is not None and first[0] != variant:
            raise FlagError(f"the first share of flag {key}", found=first[0], expected=variant)
        first[1:], second[1:] = [weight], [_WHOLE - weight]
    return _next(new)


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


def _shares(rule: Any) -> Iterator[list[list[Any]]]:
    """Yield the shares of each `fractional` in a rule, without what the devices are told apart by."""
    if isinstance(rule, dict):
        for name, value in rule.items():
            if name == "fractional" and isinstance(value, list):
                yield [each for each in value if isinstance(each, list)]
            yield from _shares(value)
    elif isinstance(rule, list):
        for each in rule:
            yield from _shares(each)


def _next(document: Parsed) -> Parsed:
    """Return the document as the release after."""
    metadata = document.setdefault("metadata", {})
    metadata[VERSION] = str(version_of(metadata) + 1)
    return document
