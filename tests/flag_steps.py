"""The steps that the scenarios of flagd's evaluator and of OpenFeature share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scenarios import Steps

READ: dict[str, Callable[[str], Any]] = {
    "boolean": lambda text: text == "true",
    "string": str,
    "integer": int,
    "float": float,
    "object": lambda text: json.loads(text.replace('\\"', '"')),
}


@dataclass
class Asked:
    """One question of a scenario, and its answer.

    Attributes:
        ask: Answers a kind, a key, a default and a context with key, value, variant, reason, error code and metadata.
        kind: Of the flag.
        key: Likewise.
        default: Likewise.
        context: Of the call.
        answer: What `ask` said.
    """

    ask: Callable[[str, str, Any, dict[str, Any]], dict[str, Any]]
    kind: str = ""
    key: str = ""
    default: Any = None
    context: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)


FLAG_STEPS = Steps()


@FLAG_STEPS.step(r'an? (\w+)-flag with key "(.*?)" and a fallback value "(.*)"')
def flag(asked: Asked, kind: str, key: str, default: str) -> None:
    asked.kind, asked.key = kind.lower(), key
    asked.default = READ[asked.kind](default)


@FLAG_STEPS.step(r'a context containing a key "(.*?)", with type "(.*?)" and with value "(.*)"')
def attribute(asked: Asked, key: str, kind: str, value: str) -> None:
    asked.context[key] = READ[kind.lower()](value)


@FLAG_STEPS.step(
    r'a context containing a nested property with outer key "(.*?)" and inner key "(.*?)", with value "(.*)"'
)
def nested(asked: Asked, outer: str, inner: str, value: str) -> None:
    asked.context[outer] = {inner: value}


@FLAG_STEPS.step(r'a context containing a targeting key with value "(.*)"')
def targeting_key(asked: Asked, value: str) -> None:
    asked.context["targetingKey"] = value


@FLAG_STEPS.step("the flag was evaluated with details")
def evaluated(asked: Asked) -> None:
    asked.answer = asked.ask(asked.kind, asked.key, asked.default, asked.context)


@FLAG_STEPS.step(r'the resolved details value should be "(.*)"')
def value_is(asked: Asked, value: str) -> None:
    found, expected = asked.answer["value"], READ[asked.kind](value)
    assert (found, type(found)) == (expected, type(expected)), asked.answer


for words, name in (
    ("the reason", "reason"),
    ("the variant", "variant"),
    ("the flag key", "key"),
    ("the error-code", "error"),
):

    @FLAG_STEPS.step(rf'{words} should be "(.*)"')
    def told(asked: Asked, expected: str, name: str = name) -> None:
        assert asked.answer[name] == expected, asked.answer


@FLAG_STEPS.step("the resolved metadata should contain")
def metadata_is(asked: Asked, rows: list[list[str]]) -> None:
    for key, kind, value in rows[1:]:
        assert asked.answer["metadata"][key] == READ[kind.lower()](value)


@FLAG_STEPS.step("the resolved metadata is empty")
def no_metadata(asked: Asked) -> None:
    assert asked.answer["metadata"] == {}
