"""A loaded model's health: what is counted, what alarms, and what hooks are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.bundle import Binding, BlobSet, Budgets, Quantization, write_bundle
from edgeinfer.inference.health import Health, with_alarms
from edgeinfer.testing import FakeEngine, sample_manifest
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(60)
LIGHT = np.full((4, 4), 255, np.uint8)
TENSOR = {"image": np.ones((1, 1, 4, 4), np.float32)}
FINE = Health(10, 0, 1.0, 2.0, 3.0, 5.0, 10**7, 10**6, None, None, 10, 0, 0, 0, 0, shedding=False)


@pytest.mark.parametrize(
    ("change", "budgets", "kinds"),
    [
        ({}, None, []),
        ({}, Budgets(p99_ms=2.0, load_ms=5.0, memory_bytes=10**6), []),
        ({}, Budgets(p99_ms=1.9), ["p99"]),
        ({}, Budgets(load_ms=4.9, memory_bytes=999_999), ["load", "memory"]),
        ({"p99_ms": None, "grown_bytes": None}, Budgets(p99_ms=0.1, memory_bytes=1), []),
        ({"not_finite": 1}, None, ["not_finite"]),
        ({"saturated": 2, "errors": 1}, None, ["saturated", "errors"]),
        ({"throttled": True, "shedding": True}, None, ["throttled", "shedding"]),
        ({"throttled": False}, None, []),
    ],
)
def test_what_alarms(change, budgets, kinds):
    assert [alarm.kind for alarm in with_alarms(replace(FINE, **change), budgets).alarms] == kinds


def test_an_alarm_names_figure_and_budget():
    (alarm,) = with_alarms(FINE, Budgets(memory_bytes=999_999)).alarms
    assert alarm.message == "loading added 1,000,000 bytes, the bundle's budget is 999,999"


def test_runs_times_and_failures_are_counted(sample):
    engine = FakeEngine()
    model = ei.load(sample, engine=engine)
    assert (model.health.runs, model.health.p50_ms) == (0, None)
    for _ in range(5):
        model.predict(LIGHT)
    model.run(TENSOR, deadline_ms=20_000)
    engine.fails_on_run = ei.EngineRunError("broken")
    for _ in range(2):
        with pytest.raises(ei.EngineRunError):
            model.run(TENSOR)
    with pytest.raises(ei.EngineRunError):
        model.run(TENSOR, deadline_ms=20_000)
    health = model.health
    assert (health.runs, health.errors) == (6, 3)
    assert 0 < health.p50_ms <= health.p99_ms <= health.largest_ms * (1 + 1 / 16)
    assert health.load_ms > 0
    assert [alarm.kind for alarm in health.alarms] == ["errors"]
    assert health.resident_bytes is None or health.resident_bytes > 10**6


def test_outputs_that_are_no_numbers_are_counted_and_told_once(sample):
    wrong = [False]

    def answer(image):
        return mean_logits(image) * (np.float32("nan") if wrong[0] else 1)

    told = []
    model = ei.load(sample, engine=FakeEngine(answer), on_health=told.append)
    wrong[0] = True
    for _ in range(200):
        model.run(TENSOR)
    assert 3 <= model.health.checked <= 200
    assert model.health.not_finite == model.health.checked
    assert [[alarm.kind for alarm in health.alarms] for health in told] == [["not_finite"]]


def test_every_output_of_a_slow_model_is_looked_at(sample):
    def slow(image):
        for _ in range(400):
            np.linalg.svd(np.ones((24, 24)))
        return mean_logits(image)

    model = ei.load(sample, engine=FakeEngine(slow), self_test=False)
    for _ in range(3):
        model.run(TENSOR)
    assert model.health.p50_ms > 1
    assert model.health.checked == 3


def saturated_bundle(path):
    """The sample with outputs in int8 of -1 to 1."""
    blobs = BlobSet()
    base = sample_manifest(blobs)
    binding = Binding("logits", "int8", ("batch", 2), quantization=Quantization(1 / 127, 0))
    variant = replace(base.variants[0], outputs={"logits": binding}, golden_outputs={})
    plain = {"golden": None, "drift": None, "confusion": None, "cascade": None}
    write_bundle(path, replace(base, variants=(variant,), **plain), blobs)
    return path


@pytest.mark.parametrize(("level", "expected"), [(127, True), (-128, True), (126, False), (0, False)])
def test_int8_outputs_at_their_ends_are_counted(tmp_path, level, expected):
    class Int8(FakeEngine):
        def load(self, model, options):
            session = super().load(model, options)
            session.outputs = (replace(session.outputs[0], dtype="int8"),)
            session.run = lambda inputs: {"logits": np.full((len(inputs["image"]), 2), level, np.int8)}
            return session

    model = ei.load(saturated_bundle(tmp_path / "s.eib"), engine=Int8(), self_test=False)
    for _ in range(128):
        model.run(TENSOR)
    health = model.health
    assert health.checked > 0
    assert health.saturated == (health.checked if expected else 0)


def test_hooks_get_frozen_records_and_cannot_break_an_answer(sample):
    seen = []
    model = ei.load(sample, engine=FakeEngine(), on_prediction=seen.append)
    answer = model.predict(LIGHT)
    assert seen == [answer]
    with pytest.raises(AttributeError):
        seen[0].label = "other"

    def broken(_prediction):
        raise ValueError("my own fault")

    model = ei.load(sample, engine=FakeEngine(), on_prediction=broken)
    with pytest.warns(RuntimeWarning, match=r"on_prediction raised ValueError\('my own fault'\)"):
        assert model.predict(LIGHT).label == "light"


def test_an_exceeded_budget_of_the_bundle_alarms(tmp_path):
    blobs = BlobSet()
    base = sample_manifest(blobs)
    write_bundle(tmp_path / "b.eib", replace(base, budgets=Budgets(p99_ms=1e-6)), blobs)
    model = ei.load(tmp_path / "b.eib", engine=FakeEngine())
    assert model.health.alarms == ()
    model.run(TENSOR)
    assert [alarm.kind for alarm in model.health.alarms] == ["p99"]
