"""A candidate in the shadow of a model: what it finds out, and what it costs."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from shadow_rig import ALL, DARK, LIGHT, ask, candidate, loader, settled

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.errors import PolicyError
from edgeinfer.host import Surroundings
from edgeinfer.rollout import Shadow, ShadowLimits, shadow_reports, shadow_work
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock, FakeEngine, sample_manifest
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def load(sample):
    return loader(sample)


@pytest.fixture
def serves(load):
    return load()


@pytest.fixture
def home(tmp_path):
    with Home(tmp_path / "home", clock=FakeClock()) as home:
        yield home


def test_what_it_finds_out(serves, load):
    def other(image: Any) -> Any:
        logits = mean_logits(image)
        return np.where(logits[:, :1] < 0, logits[:, ::-1], logits * 0.5)

    with Shadow(serves, candidate(serves, lambda: load(other)), 1.0, limits=ALL) as shadow:
        ask(serves, shadow, LIGHT, LIGHT, DARK)
        report = shadow.report()
    assert (report.current, report.candidate) == (serves.digest, serves.digest)
    assert (report.compared, report.agreed, report.agreement) == (3, 2, pytest.approx(2 / 3))
    # Logits 1 and -1 at a temperature of a half give a confidence of .982, half of them .881.
    assert report.mean_difference == pytest.approx(2 * (0.8808 - 0.9820) / 3, abs=1e-3)
    assert (report.differences[8], report.differences[10], sum(report.differences)) == (2, 1, 3)
    assert sum(report.current_runs.values()) == sum(report.candidate_runs.values()) == 3
    assert 0 < report.current_ms(0.5) <= report.current_ms(0.99)
    assert report.candidate_ms(0.5) > 0
    assert (report.errors, report.dropped, report.stopped) == ({}, {}, "")


def test_a_report_before_the_first_item_says_nothing(serves, load):
    with Shadow(serves, candidate(serves, load), 1.0) as shadow:
        report = shadow.report()
    assert (report.agreement, report.mean_difference, report.current_ms(0.5)) == (None, None, None)


def test_reports_of_one_pair_add_up_in_the_home(serves, load, home):
    for _ in range(2):
        with Shadow(serves, candidate(serves, load), 1.0, limits=ALL, home=home) as shadow:
            ask(serves, shadow, LIGHT, DARK)
            shadow._work.dropped["busy"] += 3
    (report,) = shadow_reports(home)
    assert (report.compared, report.agreed, report.dropped) == (4, 4, {"busy": 6})
    assert sum(report.candidate_runs.values()) == 4
    assert not home.rows("SELECT data FROM shadows WHERE data LIKE '%light%'")


def test_nothing_is_written_where_nothing_was_seen(serves, load, home):
    Shadow(serves, candidate(serves, load), 1.0, home=home).close()
    assert shadow_reports(home) == []


def test_a_report_is_written_in_batches_and_when_it_has_waited(serves, load, home):
    with Shadow(serves, candidate(serves, load), 1.0, limits=ALL, home=home) as shadow:
        ask(serves, shadow, *[LIGHT] * 99)
        assert shadow_reports(home) == []
        ask(serves, shadow, LIGHT)
        settled(shadow)
        assert [each.compared for each in shadow_reports(home)] == [100]
        ask(serves, shadow, LIGHT)
        home.clock.advance(61)
        shadow._work.look_around()
        assert [each.compared for each in shadow_reports(home)] == [101]


def test_a_home_that_cannot_be_written_costs_the_report_alone(serves, load, home):
    shadow = Shadow(serves, candidate(serves, load), 1.0, limits=ALL, home=home)
    home.rows("DROP TABLE shadows")
    ask(serves, shadow, LIGHT)
    assert shadow.close()
    assert (shadow.report().compared, shadow.report().errors) == (1, {"StoreError": 1})


def test_what_is_kept_and_cannot_be_read_is_told(home):
    home.rows("INSERT INTO shadows VALUES ('a', 'b', '{}')")
    with pytest.raises(ei.StoreError, match="of a shadow of a cannot be read"):
        shadow_reports(home)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 200, 300), (1.0, 500, 500)])
def test_a_sample_is_drawn(serves, load, share, least, most):
    random.seed(0)
    with Shadow(serves, candidate(serves, load), share, limits=ALL) as shadow:
        ask(serves, shadow, *[LIGHT] * 500)
        assert least <= shadow.report().compared <= most


def test_after_its_work_it_rests(serves, load, home):
    def takes_10_ms(image: Any) -> Any:
        home.clock.advance(0.010)
        return mean_logits(image)

    limits = ShadowLimits(cpu_share=0.1)
    with Shadow(
        serves, candidate(serves, lambda: load(takes_10_ms)), 1.0, limits=limits, home=home
    ) as shadow:
        ask(serves, shadow, LIGHT)
        home.clock.advance(0.0899)
        ask(serves, shadow, LIGHT)
        assert (shadow.report().compared, shadow.report().dropped) == (1, {"cpu": 1})
        home.clock.advance(0.0002)
        ask(serves, shadow, LIGHT)
        assert (shadow.report().compared, shadow.report().dropped) == (2, {"cpu": 1})


@pytest.mark.parametrize(
    ("battery", "charging", "runs"),
    [(0.29, False, False), (0.3, False, True), (0.1, True, True), (0.1, None, True), (None, False, True)],
)
def test_a_weak_battery_is_spared(serves, load, home, battery, charging, runs):
    power = Surroundings("unknown", battery, charging)
    with Shadow(
        serves, candidate(serves, load), 1.0, limits=ALL, home=home, surroundings=lambda: power
    ) as shadow:
        ask(serves, shadow, LIGHT, LIGHT)
        assert shadow.report().compared == (2 if runs else 0)
        assert shadow.report().dropped == ({} if runs else {"battery": 2})
        power = Surroundings("unknown", 1.0, charging=True)
        home.clock.advance(11)
        ask(serves, shadow, LIGHT)
        assert shadow.report().compared == (3 if runs else 1)


def test_where_memory_is_scarce_the_candidate_is_not_loaded_and_let_go(serves, load, home, monkeypatch):
    resident, loads = [1000], []
    monkeypatch.setattr(shadow_work, "resident_bytes", lambda: resident[0])

    def count() -> ei.Model:
        loads.append(1)
        return load()

    limits = replace(ALL, memory_bytes=2_000_000_000)
    what = candidate(serves, count, memory_bytes=1_500_000_000)
    with Shadow(serves, what, 1.0, limits=limits, home=home) as shadow:
        for bytes_now, loaded, compared in (
            (600_000_000, 0, 0), (400_000_000, 1, 1), (1_900_000_000, 1, 2), (2_100_000_000, 1, 2),
            (600_000_000, 1, 2), (400_000_000, 2, 3),
        ):  # fmt: skip
            resident[0] = bytes_now
            ask(serves, shadow, LIGHT)
            assert (len(loads), shadow.report().compared) == (loaded, compared)
            home.clock.advance(11)
        assert shadow.report().dropped == {"memory": 3}
        resident[0] = 2_100_000_000
        shadow._work.look_around()
        assert shadow._work._model is None


def test_failures_in_a_row_stop_it(serves, load):
    fails = [True, True, False, True, True, True]

    def flaky(image: Any) -> Any:
        if fails.pop(0):
            raise ZeroDivisionError
        return mean_logits(image)

    with Shadow(serves, candidate(serves, lambda: load(flaky)), 1.0, limits=ALL) as shadow:
        ask(serves, shadow, *[LIGHT] * 6)
        shadow._work.thread.join(30)
        assert not shadow._work.thread.is_alive()
        ask(serves, shadow, LIGHT)
        report = shadow.report()
    assert (report.compared, report.errors, report.stopped) == (1, {"EngineRunError": 5}, "errors")
    assert report.dropped == {"stopped": 1}


def test_a_candidate_whose_answers_are_no_numbers_fails(serves, load):
    def nan(image: Any) -> Any:
        return mean_logits(image) * np.float32("nan")

    with Shadow(serves, candidate(serves, lambda: load(nan)), 1.0, limits=ALL) as shadow:
        ask(serves, shadow, *[LIGHT] * 3)
        assert (shadow.report().compared, shadow.report().stopped) == (0, "errors")


def test_a_candidate_that_does_not_load_stops_it(serves, home):
    def broken() -> ei.Model:
        raise ei.ModelLoadError("no model")

    with Shadow(serves, candidate(serves, broken), 1.0, home=home) as shadow:
        ask(serves, shadow, LIGHT)
        report = shadow.report()
    assert (report.stopped, report.errors) == ("load", {"ModelLoadError": 1})
    assert [each.stopped for each in shadow_reports(home)] == ["load"]


def test_a_candidate_that_is_another_stops_it(serves, tmp_path):
    blobs = BlobSet()
    write_bundle(tmp_path / "other.eib", replace(sample_manifest(blobs), version="2"), blobs)
    other = ei.load(tmp_path / "other.eib", engine=FakeEngine(), self_test=False)
    with Shadow(serves, candidate(serves, lambda: other), 1.0) as shadow:
        ask(serves, shadow, LIGHT)
        assert (shadow.report().stopped, shadow.report().compared) == ("digest", 0)


def test_a_candidate_that_takes_other_inputs_stops_it(serves, load):
    other = load()
    inputs = (replace(other.manifest.inputs[0], preprocess_digest="0" * 64),)
    other.manifest = replace(other.manifest, inputs=inputs)
    with Shadow(serves, candidate(serves, lambda: other), 1.0) as shadow:
        ask(serves, shadow, LIGHT)
        assert (shadow.report().stopped, shadow.report().compared) == ("inputs", 0)


def test_answers_of_others_are_not_compared(serves, load):
    prepared = serves.prepare(LIGHT)
    answer = serves.answer(prepared)
    with Shadow(serves, candidate(serves, load), 1.0, limits=ALL) as shadow:
        for each in (replace(answer, source="cloud"), replace(answer, bundle="b" * 64)):
            shadow.offer(prepared, each)
            settled(shadow)
        assert (shadow.report().compared, shadow.report().dropped) == (0, {"other": 2})


def test_it_stays_out_of_a_line_of_calls(serves, load, monkeypatch):
    monkeypatch.setattr(ei.Model, "calls_in_line", 3)
    with Shadow(serves, candidate(serves, load), 1.0, limits=ALL) as shadow:
        ask(serves, shadow, LIGHT)
        assert shadow.report().dropped == {"crowded": 1}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_sample_that_is_no_share_is_refused(serves, load, share):
    with pytest.raises(PolicyError, match="the sample of a shadow"):
        Shadow(serves, candidate(serves, load), share)


@pytest.mark.parametrize(
    "limits",
    [
        {"cpu_share": 0.0}, {"cpu_share": 1.1}, {"cpu_share": float("nan")}, {"memory_bytes": 0},
        {"min_battery": 30}, {"errors": 0}, {"tolerance": -1.0},
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(serves, load, limits):
    (name,) = limits
    with pytest.raises(PolicyError, match=f"{name} of a shadow's limits"):
        Shadow(serves, candidate(serves, load), 1.0, limits=ShadowLimits(**limits))
