"""OpenFeature's scenarios for providers (open-feature/spec), asked of its Python SDK with our provider."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flag_steps import FLAG_STEPS, READ, Asked
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions
from openfeature.hook import Hook
from openfeature.transaction_context import ContextVarsTransactionContextPropagator
from scenarios import Scenario, Steps, parameters, scenarios

from edgeinfer.errors import FlagError
from edgeinfer.flags import EdgeProvider, FileSource, Flag, Flags
from edgeinfer.testing import FakeClock

FOLDER = Path(__file__).parents[3] / "shared/conformance/openfeature"
NAMES = ("evaluation_v2", "hooks", "metadata", "contextMerging")
FOUND = list(scenarios(*(FOLDER / f"{name}.feature" for name in NAMES if FOLDER.is_dir())))
NOT_OURS = {
    "reason-codes-cached": "nothing is cached: all answers are computed when a document comes, and say how",
}
# The suite's rules are written for an evaluator of its own; these say the same in JSON Logic.
RULES = {
    "email == 'ballmer@macrosoft.com' ? 'zero' : ''": {
        "if": [{"==": [{"var": "email"}, "ballmer@macrosoft.com"]}, "zero", None]
    },
    "!customer && email == 'ballmer@macrosoft.com' && age > 10 ? 'internal' : ''": {
        "if": [
            {
                "and": [
                    {"!": [{"var": "customer"}]},
                    {"==": [{"var": "email"}, "ballmer@macrosoft.com"]},
                    {">": [{"var": "age"}, 10]},
                ]
            },
            "internal",
            None,
        ]
    },
}
STEPS = Steps()
ORDER = itertools.count()


class World(Asked):
    """A scenario's client, hook and contexts."""

    def __init__(self) -> None:
        super().__init__(self._ask)
        self.client: OpenFeatureClient = api.get_client()
        self.hooks: list[Recorder] = []
        self.waiting: Waiting | None = None
        self.went_on = False
        self.entries: dict[str, dict[str, str]] = {}
        self.levels: list[str] = []
        self.merged: EvaluationContext | None = None

    def _ask(self, kind: str, key: str, default: Any, context: dict[str, Any]) -> dict[str, Any]:
        read = getattr(self.client, f"get_{kind}_details")
        return as_dict(read(key, default, *self.how(context)))

    def how(self, context: dict[str, Any]) -> tuple[EvaluationContext, FlagEvaluationOptions]:
        context = {**context}
        target = context.pop("targetingKey", None)
        return EvaluationContext(target, context), FlagEvaluationOptions(list(self.hooks))


class Recorder(Hook):
    """Keeps what it is told, and adds to the context before."""

    def __init__(self, adds: dict[str, str] | None = None) -> None:
        self.adds, self.told, self.times = adds or {}, {}, {}

    def before(self, hook_context: Any, hints: Any) -> EvaluationContext:  # noqa: ARG002 - called by name
        self._note("before")
        return EvaluationContext(attributes=dict(self.adds))

    def after(self, hook_context: Any, details: Any, hints: Any) -> None:  # noqa: ARG002
        self._note("after", details)

    def error(self, hook_context: Any, exception: Exception, hints: Any) -> None:  # noqa: ARG002
        self._note("error")

    def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:  # noqa: ARG002
        self._note("finally", details)

    def _note(self, name: str, details: Any = None) -> None:
        self.told[name] = None if details is None else as_dict(details)
        self.times[name] = next(ORDER)


class Seen(EdgeProvider):
    """Keeps the context that it is asked with."""

    context: EvaluationContext | None = None

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: Any = None
    ) -> Any:
        Seen.context = evaluation_context
        return super().resolve_boolean_details(flag_key, default_value, evaluation_context)


def as_dict(told: FlagEvaluationDetails[Any]) -> dict[str, Any]:
    return {
        "key": told.flag_key,
        "value": told.value,
        "variant": told.variant,
        "reason": told.reason,
        "error": told.error_code,
        "metadata": told.flag_metadata,
    }


def document() -> bytes:
    """The suite's flags, in flagd's format."""
    flags = {}
    for key, flag in json.loads((FOLDER / "test-flags.json").read_text()).items():
        rule = flag.get("contextEvaluator")
        flags[key] = {
            "state": "DISABLED" if flag.get("disabled") else "ENABLED",
            "variants": flag["variants"],
            "defaultVariant": flag.get("defaultVariant"),
            "targeting": RULES[rule] if rule else {},
            "metadata": flag.get("flagMetadata") or {},
        }
    return json.dumps({"flags": flags}).encode()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    if world.waiting is not None:
        world.waiting.go.set()
    api.shutdown()


@STEPS.step("a stable provider|a stable provider with retrievable context is registered")
def stable(_world: World) -> None:
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    api.set_provider_and_wait(Seen(Flags(bundled=document())))


class Waiting:
    """A source that answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def fetch(self) -> bytes:
        self.go.wait(10)
        raise FlagError("nothing came")


@STEPS.step("a not ready provider")
def not_ready(world: World) -> None:
    world.waiting = Waiting()
    api.set_provider(EdgeProvider(Flags(source=world.waiting)))


@STEPS.step("a error provider")
def failing(_world: World) -> None:
    with suppress(ProviderNotReadyError):
        api.set_provider_and_wait(EdgeProvider(Flags(source=FileSource(FOLDER / "not-there.json"))))


@STEPS.step("a fatal provider")
def fatal(_world: World) -> None:
    with suppress(ProviderFatalError):
        api.set_provider_and_wait(EdgeProvider(Flags()))


@STEPS.step("a stale provider")
def stale(_world: World) -> None:
    flag = {"state": "ENABLED", "variants": {"on": True}, "metadata": {"maxStaleSeconds": 60}}
    clock = FakeClock()
    flags = Flags(bundled=json.dumps({"flags": {"risky": flag}}).encode(), clock=clock)
    api.set_provider_and_wait(EdgeProvider(flags))
    clock.advance(60)
    flags.value(Flag("risky", default=False))


@STEPS.step('the provider status should be "(.*)"')
def status_is(world: World, status: str) -> None:
    assert world.client.get_provider_status().value == status


@STEPS.step("evaluation options containing specific hooks")
def with_hooks(world: World) -> None:
    world.hooks = [Recorder(), Recorder()]


@STEPS.step("the flag was evaluated with details using the evaluation options")
def evaluated_with_options(world: World) -> None:
    world.answer = world.ask(world.kind, world.key, world.default, {})


@STEPS.step("the specified hooks should execute during evaluation")
def all_executed(world: World) -> None:
    assert [list(each.told) for each in world.hooks] == [["before", "after", "finally"]] * 2


@STEPS.step("the hook order should be maintained")
def in_order(world: World) -> None:
    first, second = (each.times for each in world.hooks)
    assert first["before"] < second["before"]
    assert first["after"] > second["after"]


@STEPS.step("an evaluation context with modifiable data")
def modifiable(world: World) -> None:
    world.context = {"list": [1, 2], "dict": {"a": {"b": 1}}}


@STEPS.step("the original evaluation context should remain unmodified")
def unmodified(world: World) -> None:
    assert world.context == {"list": [1, 2], "dict": {"a": {"b": 1}}}


@STEPS.step("the evaluation details should be immutable")
def immutable(world: World) -> None:
    """Whoever changes what was answered changes no other answer."""
    world.answer["metadata"]["changed"] = True
    again = world.ask(world.kind, world.key, world.default, world.context)
    assert again["metadata"] == {}


@STEPS.step("the flag was evaluated with details asynchronously")
def evaluated_later(world: World) -> None:
    read = getattr(world.client, f"get_{world.kind}_details_async")

    async def other() -> None:
        world.went_on = True

    async def beside() -> Any:
        told, _ = await asyncio.gather(read(world.key, world.default, *world.how(world.context)), other())
        return told

    world.answer = as_dict(asyncio.run(beside()))


@STEPS.step("the evaluation should complete without blocking")
def went_on(world: World) -> None:
    assert world.went_on


@STEPS.step('a context containing a key "(.*)" with null value')
def null_value(world: World, key: str) -> None:
    world.context[key] = None


@STEPS.step("a client with added hook")
def with_hook(world: World) -> None:
    world.hooks = [Recorder()]


@STEPS.step('the "(.*)" hook should have been executed')
def executed(world: World, name: str) -> None:
    assert name in world.hooks[0].told


@STEPS.step('the "(.*)" hooks should be called with evaluation details')
def called_with(world: World, names: str, rows: list[list[str]]) -> None:
    for name in names.split(", "):
        for kind, key, value in rows[1:]:
            expected = None if value == "null" else READ[kind](value)
            found = {"flag_key": "key", "error_code": "error"}.get(key, key)
            assert world.hooks[0].told[name][found] == expected, (name, key)


@STEPS.step('A context entry with key "(.*)" and value "(.*)" is added to the "(.*)" level')
def entry(world: World, key: str, value: str, level: str) -> None:
    world.entries.setdefault(level, {})[key] = value


@STEPS.step("A table with levels of increasing precedence")
def precedence(world: World, rows: list[list[str]]) -> None:
    world.levels = [row[0] for row in rows]


@STEPS.step(
    'Context entries for each level from API level down to the "(.*)" level, with key "(.*)" and value "(.*)"'
)
def entries(world: World, level: str, key: str, _value: str) -> None:
    for each in world.levels[: world.levels.index(level) + 1]:
        world.entries[each] = {key: each}


@STEPS.step("Some flag was evaluated")
def some(world: World) -> None:
    given = {level: EvaluationContext(attributes=dict(each)) for level, each in world.entries.items()}
    empty = EvaluationContext()
    api.set_evaluation_context(given.get("API", empty))
    api.set_transaction_context(given.get("Transaction", empty))
    world.client.context = given.get("Client", empty)
    world.hooks = [Recorder(world.entries.get("Before Hooks"))]
    world.ask("boolean", "boolean-flag", False, world.entries.get("Invocation", {}))
    world.merged = Seen.context


@STEPS.step('The merged context contains an entry with key "(.*)" and value "(.*)"')
def merged(world: World, key: str, value: str) -> None:
    assert world.merged is not None
    assert world.merged.attributes[key] == value


@pytest.mark.usefixtures("shared")
def test_the_suite_is_there():
    assert len(FOUND) > 60


@pytest.mark.parametrize("scenario", parameters(FOUND, NOT_OURS))
def test_scenario(world: World, scenario: Scenario) -> None:
    (STEPS | FLAG_STEPS).run(scenario, world)
