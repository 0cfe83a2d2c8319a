"""What stops a bundle at once, and what does not: a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.bundle import Budgets
from edgeinfer.inference.health import Health, with_alarms
from edgeinfer.rollout import Breach, Observed, Thresholds, verdict
from edgeinfer.testing import FakeEngine

FINE = Health(1000, 0, 1.0, 2.0, 3.0, 5.0, 10**7, 10**6, None, None, 1000, 0, 0, 0, 0, shedding=False)
BUDGETS = Budgets(p99_ms=2.0, load_ms=5.0, memory_bytes=10**6)


def kind(observed: Observed, thresholds: Thresholds | None = None) -> str | None:
    found = verdict(observed, thresholds)
    return None if found is None else found.kind


@pytest.mark.parametrize(
    ("change", "seen", "expected"),
    [
        ({}, {}, None),
        ({"p99_ms": 2.1}, {}, "p99"),
        ({"p99_ms": 2.1, "runs": 300}, {}, "p99"),
        ({"p99_ms": 2.1, "runs": 299}, {}, None),
        ({"p99_ms": 2.1, "throttled": True}, {}, None),
        ({"p99_ms": None, "runs": 0}, {}, None),
        ({"grown_bytes": 10**6 + 1}, {}, "memory"),
        ({"grown_bytes": 10**6 + 1}, {"remembered": False}, None),
        ({"grown_bytes": None}, {}, None),
        ({"load_ms": 5.1}, {}, "load"),
        ({"load_ms": 5.1}, {"remembered": False}, None),
        ({"not_finite": 1}, {}, "not_finite"),
        ({"errors": 2, "runs": 0}, {}, None),
        ({"errors": 3, "runs": 0}, {}, "errors"),
        ({"errors": 3, "runs": 297}, {}, "errors"),
        ({"errors": 3, "runs": 298}, {}, None),
        ({}, {"failed_answers": 3}, None),
        ({"runs": 3}, {"failed_answers": 3}, "errors"),
        ({"saturated": 1000}, {}, None),
        ({"throttled": True}, {}, None),
        ({"shedding": True}, {}, None),
        ({}, {"deaths": 1}, None),
        ({}, {"deaths": 2}, "crash_loop"),
        ({}, {"load_error": "no variant"}, "load_failure"),
    ],
)
def test_verdicts(change, seen, expected):
    health = with_alarms(replace(FINE, **change), BUDGETS)
    assert kind(Observed(health, **seen)) == expected


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (Observed(), None),
        (Observed(load_error="broken", deaths=5), "load_failure"),
        (Observed(deaths=5), "crash_loop"),
        (Observed(with_alarms(replace(FINE, not_finite=1, errors=900, p99_ms=9.0), BUDGETS)), "not_finite"),
        (Observed(with_alarms(replace(FINE, errors=900, p99_ms=9.0), BUDGETS)), "errors"),
        (Observed(with_alarms(replace(FINE, p99_ms=9.0, load_ms=9.0), BUDGETS)), "p99"),
    ],
)
def test_the_gravest_is_told(observed, expected):
    assert kind(observed) == expected


def test_without_budgets_no_time_and_no_memory_is_too_much():
    assert verdict(Observed(with_alarms(replace(FINE, p99_ms=1e9, load_ms=1e9), None))) is None


def test_thresholds_are_the_caller_s_to_set():
    assert kind(Observed(deaths=1), Thresholds(deaths=1)) == "crash_loop"
    slow = with_alarms(replace(FINE, runs=10, p99_ms=9.0), BUDGETS)
    assert kind(Observed(slow), Thresholds(runs=10)) == "p99"


def test_messages_have_figures():
    slow = with_alarms(replace(FINE, p99_ms=9.5), BUDGETS)
    assert verdict(Observed(slow)) == Breach(
        "p99", "99 of 100 runs take up to 9.5 ms, the bundle's budget is 2"
    )
    failed = with_alarms(replace(FINE, runs=1, errors=3), BUDGETS)
    assert verdict(Observed(failed)) == Breach("errors", "3 answers failed, of 4 runs")


def test_a_model_that_gives_nan_is_stopped_after_a_few_answers(sample):
    model = ei.load(
        sample, engine=FakeEngine(answer=lambda image: np.full((len(image), 2), np.nan, np.float32)),
        self_test=False,
    )  # fmt: skip
    failed = 0
    while verdict(Observed(model.health, failed_answers=failed)) is None:
        with pytest.raises(ei.EngineRunError):
            model.predict(np.zeros((4, 4), np.uint8))
        failed += 1
    assert failed <= 3


def test_a_model_that_is_fine_is_not_stopped(sample):
    model = ei.load(sample, engine=FakeEngine())
    for _ in range(400):
        model.predict(np.zeros((4, 4), np.uint8))
    assert kind(Observed(model.health, remembered=model.selection.cached)) is None
