"""All flags of a document, evaluated once for one context: what a device reads from, in one dictionary lookup."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edgeinfer.flags.document import Document
from edgeinfer.flags.evaluation import Context, Resolution, failed, resolve, rollout_of, stale
from edgeinfer.flags.flag import Flag, FlagDetails, Value, fits

# Where a device stands on the line of shares, by flag and rollout.
Positions = Mapping[tuple[str, str], int]
_MOST_S = 5.0


class Snapshot:
    """The answers of a document in one context; never changed, so that it is swapped in one assignment.

    Attributes:
        document: What they are from, or None before there is any.

    Args:
        resolutions: By flag.
        document: Likewise.
    """

    __slots__ = ("_resolutions", "_values", "document")

    def __init__(self, resolutions: Mapping[str, Resolution], document: Document | None = None) -> None:
        self.document, self._resolutions = document, dict(resolutions)
        # A value that all may share needs no second look; one that could be changed is copied for each.
        self._values = {
            key: each.value
            for key, each in resolutions.items()
            if each.variant is not None and not isinstance(each.value, dict | list)
        }

    def value(self, flag: Flag[Value]) -> Value:
        """Return a flag's value; its default where there is no answer of its type."""
        found = self._values.get(flag.key)
        if type(found) is flag.kind:
            return found
        return self.details(flag).value

    def details(self, flag: Flag[Value]) -> FlagDetails[Value]:
        """Return a flag's value, and why."""
        return told(flag, self._resolutions.get(flag.key))

    def with_(self, resolutions: Mapping[str, Resolution]) -> Snapshot:
        """Return the same with other answers for some flags."""
        return Snapshot({**self._resolutions, **resolutions}, self.document) if resolutions else self

    def differing(self, other: Snapshot) -> frozenset[str]:
        """Return the flags that another snapshot answers otherwise."""
        ours, theirs = self._resolutions, other._resolutions
        return frozenset(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))

    @property
    def stale(self) -> bool:
        """Whether the document is too old for one of its flags."""
        return any(each.reason == "STALE" for each in self._resolutions.values())

    @property
    def positions(self) -> dict[tuple[str, str], int]:
        """Where the device stands in the rollouts that asked for it."""
        flags = {} if self.document is None else self.document.flags
        return {
            (key, rollout): each.position
            for key, each in self._resolutions.items()
            if each.position is not None and (rollout := rollout_of(flags[key])) is not None
        }

    def killed(self) -> dict[str, Resolution]:
        """Return the flags that were killed."""
        return {key: each for key, each in self._resolutions.items() if each.reason == "DISABLED"}


NOTHING = Snapshot({})


def compiled(
    document: Document,
    context: Context,
    timestamp: float,
    elapsed: Callable[[], float],
    positions: Positions = MappingProxyType({}),
) -> Snapshot:
    """Evaluate all flags of a document.

    Args:
        document: The flags.
        context: Attributes of the device.
        timestamp: The time, in seconds since 1970.
        elapsed: Returns seconds of a monotonic clock: flags beyond the first five seconds fail, but for those that were
            killed, so that no document, whoever signed it, keeps an app from starting.
        positions: Where the device stands in rollouts already; `Snapshot.positions` has those that were drawn beside.
    """
    until, found = elapsed() + _MOST_S, {}
    for key, flag in document.flags.items():
        if flag.enabled and elapsed() > until:
            found[key] = failed(flag, "GENERAL", "the flags before it took all the time there is")
        else:
            position = positions.get((key, rollout_of(flag) or ""))
            found[key] = resolve(flag, context, timestamp, position)
    return Snapshot(found, document)


def outdated(document: Document, age_s: float) -> dict[str, Resolution]:
    """Return what holds for the flags that a document is too old for.

    Args:
        document: The flags.
        age_s: Seconds since it was last known to be the newest.
    """
    return {
        key: stale(flag)
        for key, flag in document.flags.items()
        if flag.max_stale_s is not None and age_s >= flag.max_stale_s
    }


def told(flag: Flag[Value], found: Resolution | None) -> FlagDetails[Value]:
    """Return what a resolution says to a program that declared a flag of some type."""
    if found is None:
        found = Resolution(None, None, "ERROR", "FLAG_NOT_FOUND", "there is no such flag")
    elif found.variant is not None and not fits(found.value, flag.kind):
        message = f"expected {flag.kind.__name__}, found {type(found.value).__name__}"
        found = Resolution(None, None, "ERROR", "TYPE_MISMATCH", message, found.metadata)
    value: Any = flag.default if found.variant is None else flag.kind(found.value)
    if flag.kind is dict:  # whoever changes it changes it for themselves
        value = copy.deepcopy(value)
    return FlagDetails(
        flag.key, value, found.variant, found.reason, found.error, found.message, found.metadata
    )
