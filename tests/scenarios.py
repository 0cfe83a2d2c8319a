"""Scenarios in gherkin, parsed by its own library, each run as one test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler


@dataclass(frozen=True)
class Scenario:
    """One scenario with the values of one of its examples in place.

    Attributes:
        name: Of the file and the scenario.
        tags: Of feature, scenario and examples, without `@`.
        steps: Texts, each with the rows of its table.
    """

    name: str
    tags: frozenset[str]
    steps: tuple[tuple[str, list[list[str]]], ...]


def scenarios(*paths: Path) -> Iterator[Scenario]:
    """Read the scenarios of files."""
    for path in paths:
        document: dict[str, Any] = {**Parser().parse(path.read_text(encoding="utf-8")), "uri": path.name}
        for each in Compiler().compile(document):
            steps = tuple((step["text"], _rows(step)) for step in each["steps"])
            tags = frozenset(tag["name"].removeprefix("@") for tag in each["tags"])
            yield Scenario(f"{path.stem}: {each['name']}", tags, steps)


def parameters(found: list[Scenario], not_ours: dict[str, str]) -> list[Any]:
    """Return scenarios as pytest's parameters; those with a tag that is not ours are skipped with its reason."""
    made = []
    for each in found:
        reasons = [reason for tag, reason in not_ours.items() if tag in each.tags]
        marks = [pytest.mark.skip(reason=reasons[0])] if reasons else []
        made.append(pytest.param(each, id=each.name, marks=marks))
    return made


class Steps:
    """What the words of steps mean: functions by pattern, each given a scenario's world and what the pattern found."""

    def __init__(self) -> None:
        self._meanings: list[tuple[re.Pattern[str], Callable[..., object]]] = []

    def __or__(self, other: Steps) -> Steps:
        both = Steps()
        both._meanings = [*self._meanings, *other._meanings]
        return both

    def step(self, pattern: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
        """Register a function for the steps that match a pattern as a whole."""

        def registered(function: Callable[..., object]) -> Callable[..., object]:
            self._meanings.append((re.compile(pattern), function))
            return function

        return registered

    def run(self, scenario: Scenario, world: object) -> None:
        """Perform a scenario's steps."""
        for text, rows in scenario.steps:
            found = [(match, work) for known, work in self._meanings if (match := known.fullmatch(text))]
            assert len(found) == 1, f"{len(found)} meanings of the step {text!r}"
            match, work = found[0]
            work(world, *match.groups(), **({"rows": rows} if rows else {}))


def _rows(step: dict[str, Any]) -> list[list[str]]:
    table = step.get("argument", {}).get("dataTable", {"rows": []})
    return [[cell["value"] for cell in row["cells"]] for row in table["rows"]]
