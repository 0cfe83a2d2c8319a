"""The provider for OpenFeature beyond its scenarios: events, tracking, defaults of any type."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

import edgeinfer as ei
from edgeinfer.flags import EdgeProvider
from edgeinfer.testing import FakeClock

CLOUD = ei.Flag("cloud", default=False)


def document(version: int = 1, **rest: Any) -> bytes:
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on", **rest}
    return json.dumps({"flags": {"cloud": flag}, "metadata": {"version": str(version)}}).encode()


@pytest.fixture(autouse=True)
def heard():
    """The names of the events that come, and the flags that they name."""
    found: list[tuple[str, list[str] | None]] = []
    handlers = {}
    for event in ProviderEvent:

        def handler(details: EventDetails, event: ProviderEvent = event) -> None:
            found.append((event.value.removeprefix("PROVIDER_"), details.flags_changed))

        handlers[event] = handler
        api.add_handler(event, handler)
    yield found
    for event, handler in handlers.items():
        api.remove_handler(event, handler)
    api.shutdown()


def test_changes_are_told_and_age_and_youth(heard):
    clock = FakeClock()
    flags = ei.Flags(bundled=document(metadata={"maxStaleSeconds": 60}), clock=clock)
    api.set_provider_and_wait(EdgeProvider(flags))
    client = api.get_client()
    clock.advance(60)
    assert client.get_boolean_details("cloud", False).reason == "STALE"
    assert client.get_provider_status() is ProviderStatus.STALE
    flags.offer(document(2, metadata={"maxStaleSeconds": 60}))
    flags.activate()
    assert client.get_boolean_value("cloud", False) is True
    assert client.get_provider_status() is ProviderStatus.READY
    flags.offer(document(3, state="DISABLED"))
    assert client.get_boolean_value("cloud", False) is False
    told = [name for name, _ in heard]
    assert [told[0], "STALE" in told, told[-1]] == ["READY", True, "CONFIGURATION_CHANGED"]
    assert heard[-1] == ("CONFIGURATION_CHANGED", ["cloud"])
    assert told.index("STALE") < len(told) - 1 - told[::-1].index("READY")


def test_a_provider_becomes_ready_when_a_document_comes(heard, tmp_path):
    path = tmp_path / "flags.json"
    flags = ei.Flags(source=ei.FileSource(path))
    with pytest.raises(ProviderNotReadyError, match=r"flags\.json cannot be read"):
        api.set_provider_and_wait(EdgeProvider(flags))
    client = api.get_client()
    assert client.get_boolean_details("cloud", False).error_code is ErrorCode.PROVIDER_NOT_READY
    path.write_bytes(document())
    flags.refresh()
    flags.activate()
    assert client.get_boolean_value("cloud", False) is True
    assert "READY" in [name for name, _ in heard]


def test_what_is_tracked_is_handed_on():
    tracked = []
    api.set_provider_and_wait(EdgeProvider(ei.Flags(bundled=document()), on_track=tracked.append))
    context = EvaluationContext("device-1", {"app": "2"})
    api.get_client().track("corrected", context, TrackingEventDetails(2.5, {"label": "seven"}))
    api.get_client().track("clicked")
    assert (tracked[0].name, tracked[0].value, tracked[0].attributes) == (
        "corrected",
        2.5,
        {"label": "seven"},
    )
    assert tracked[0].context == {"app": "2", "targetingKey": "device-1"}
    assert (tracked[1].name, tracked[1].value) == ("clicked", None)


def test_a_hook_that_fails_on_what_is_tracked_is_a_warning():
    api.set_provider_and_wait(EdgeProvider(ei.Flags(bundled=document()), on_track=lambda _: 1 / 0))
    with pytest.warns(RuntimeWarning, match="on_track raised ZeroDivisionError"):
        api.get_client().track("clicked")


@pytest.mark.parametrize("default", [[1, 2], {"a": 1}, []])
def test_an_object_s_default_may_be_a_list(default):
    api.set_provider_and_wait(EdgeProvider(ei.Flags(bundled=document())))
    assert api.get_client().get_object_value("none", default) == default


def test_a_flag_without_a_name_is_none():
    api.set_provider_and_wait(EdgeProvider(ei.Flags(bundled=document())))
    told = api.get_client().get_boolean_details("", True)
    assert (told.value, told.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
