"""Rules that several flags share: `{"$ref": name}` stands for what `$evaluators` has under that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeinfer.flags.grammar import MOST_PARTS


class References:
    """The shared rules of a document.

    Args:
        evaluators: Rules by name.
    """

    def __init__(self, evaluators: Mapping[str, Any]) -> None:
        self._evaluators = evaluators

    def resolved(self, rule: Any) -> Any:
        """Return a rule with what it refers to in place of each reference.

        Raises:
            LookupError: There is no such shared rule, they refer to one another in a circle, or it grows too large:
                a few that refer to one another twice would not fit into memory.
        """
        # Without shared rules a reference is an operator that there is none of, which evaluating it tells.
        return _Growth(self._evaluators).grown(rule, ()) if self._evaluators else rule


class _Growth:
    """Puts rules in place, and counts their parts."""

    def __init__(self, evaluators: Mapping[str, Any]) -> None:
        self._evaluators, self._parts = evaluators, 0

    def grown(self, rule: Any, within: tuple[str, ...]) -> Any:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise LookupError(f"has more than {MOST_PARTS} parts")
        if isinstance(rule, list):
            return [self.grown(each, within) for each in rule]
        if not isinstance(rule, dict):
            return rule
        if set(rule) != {"$ref"}:
            return {name: self.grown(each, within) for name, each in rule.items()}
        name = rule["$ref"]
        if not isinstance(name, str) or name not in self._evaluators:
            raise LookupError(f"refers to {name!r}, which is not among $evaluators")
        if name in within:
            raise LookupError(f"refers to {name!r} in a circle")
        return self.grown(self._evaluators[name], (*within, name))
