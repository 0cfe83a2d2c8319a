"""Too many calls: a smaller variant or an ensemble's best member answers, says so, and gives way again."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.inference.combine import combined
from edgeinfer.inference.process import scheduler
from edgeinfer.testing import FakeEngine, sample_manifest
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(60)
LIGHT = np.full((4, 4), 255, np.uint8)
PATIENCE_S = 20.0
# Any delay counts.
TWITCHY = ei.Shedding(max_queue_ms=1e-3, after_ms=1e-6, calm_ms=100)


@pytest.fixture
def one_thread():
    """A budget of one thread, so that a second call must wait."""
    before = scheduler().threads
    ei.configure(threads=1)
    yield
    ei.configure(threads=before)


class Held:
    """An answer that waits until it is let go."""

    def __init__(self, factor=1.0):
        self.go, self.started, self.factor = threading.Event(), threading.Semaphore(0), np.float32(factor)
        self.go.set()

    def __call__(self, image):
        self.started.release()
        assert self.go.wait(PATIENCE_S)
        return mean_logits(image) * self.factor


def spike(held, predict, calls=6):
    """Let calls pile up behind one that is held, and return what all of them answered."""
    while held.started.acquire(blocking=False):
        pass
    held.go.clear()
    with ThreadPoolExecutor(calls) as pool:
        found = [pool.submit(predict, LIGHT)]
        assert held.started.acquire(timeout=PATIENCE_S)
        found += [pool.submit(predict, LIGHT) for _ in range(calls - 1)]
        held.go.set()
        return [each.result(PATIENCE_S) for each in found]


@pytest.mark.usefixtures("one_thread")
def test_under_a_spike_the_smaller_variant_answers_and_says_so_until_it_is_over(sample):
    held = Held()
    traffic = ei.Traffic(shed_to="fake-int8", shedding=TWITCHY)
    model = ei.load(sample, engine=FakeEngine(held), variant="fake-fp32", traffic=traffic)
    assert model.predict(LIGHT).variant == "fake-fp32"
    assert model.predict(LIGHT).reason == model.selection.reason
    seen = []
    for _ in range(20):
        spike(held, model.predict)
        seen.append(model.predict(LIGHT))
        if seen[-1].variant == "fake-int8":
            break
    shed = seen[-1]
    assert shed.variant == "fake-int8"
    assert shed.reason.startswith("too many calls: they stood in line for over ")
    assert shed.reason.endswith("so that fake-int8 answers")
    assert shed.label == "light"
    assert model.health.shed >= 1
    ends = time.monotonic() + PATIENCE_S
    while model.predict(LIGHT).variant != "fake-fp32":  # back to normal by itself
        assert time.monotonic() < ends
    assert not model.health.shedding


def test_health_looks_at_what_the_smaller_variant_gives_too(sample):
    model = ei.load(sample, engine=FakeEngine(), variant="fake-fp32", traffic=ei.Traffic(shed_to="fake-int8"))
    for served in (model._serving.normal, model._serving._lighter):
        served.lane.ran({"logits": np.full((1, 2), np.nan, np.float32)})
    assert model.health.not_finite == 2


def test_shed_to_must_name_another_variant(sample):
    with pytest.raises(ei.InputError, match="answers already"):
        ei.load(sample, engine=FakeEngine(), traffic=ei.Traffic(shed_to="fake-int8"))
    with pytest.raises(ei.NoVariantError, match="no such variant"):
        ei.load(sample, engine=FakeEngine(), traffic=ei.Traffic(shed_to="tiny"))


def test_what_is_to_be_avoided_is_avoided_under_a_spike_too(sample):
    wishes = ei.Wishes(variant="fake-fp32", avoid=("fake-int8",))
    with pytest.raises(ei.NoVariantError, match="fake-int8 is to be avoided"):
        ei.load(sample, engine=FakeEngine(), wishes=wishes, traffic=ei.Traffic(shed_to="fake-int8"))


def with_labels(path, labels, version="1"):
    blobs = BlobSet()
    base = sample_manifest(blobs)
    output = replace(base.outputs[0], labels=labels)
    plain = {"confusion": None, "drift": None, "cascade": None, "cloud": None}
    write_bundle(path, replace(base, version=version, outputs=(output,), **plain), blobs)
    return path


def test_members_are_averaged_whatever_the_order_of_their_labels(tmp_path, sample):
    turned = with_labels(tmp_path / "turned.eib", ("dark", "light"), version="2")
    one = ei.load(sample, engine=FakeEngine())
    half = FakeEngine(lambda image: mean_logits(image)[:, ::-1] * np.float32(0.5))
    other = ei.load(turned, engine=half, self_test=False)
    ensemble = ei.Ensemble([one, other])
    answer = ensemble.predict(LIGHT)
    each = [model.predict(LIGHT) for model in (one, other)]
    assert [member.label for member in each] == ["light", "light"]
    assert answer.label == "light"
    assert answer.confidence == pytest.approx(np.mean([member.confidence for member in each]))
    assert answer.reason == "mean of 2 members"
    assert answer.bundle == f"{one.digest} + {other.digest}"
    assert sum(score.confidence for score in answer.top) == pytest.approx(1)
    assert asyncio.run(ensemble.apredict(LIGHT, deadline_ms=20_000)).label == "light"


@pytest.mark.parametrize(
    ("how", "ranking", "confidences"),
    [("mean", [1, 0, 2], [0.4, 0.45, 0.15]), ("vote", [0, 1, 2], [2 / 3, 1 / 3, 0])],
)
def test_mean_and_vote_may_differ(how, ranking, confidences):
    members = [np.array(each) for each in ([0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.1, 0.65, 0.25])]
    found, values = combined(members, how)
    assert found == ranking
    np.testing.assert_allclose(values, confidences)


def test_between_equal_votes_the_mean_decides():
    assert combined([np.array([0.9, 0.1]), np.array([0.2, 0.8])], "vote")[0] == [0, 1]
    assert combined([np.array([0.6, 0.4]), np.array([0.1, 0.9])], "vote")[0] == [1, 0]


def test_a_member_that_fails_is_left_out_and_named(sample, tmp_path):
    engine = FakeEngine()
    good = ei.load(sample, engine=FakeEngine())
    bad = ei.load(with_labels(tmp_path / "b.eib", ("light", "dark"), version="2"), engine=engine)
    ensemble = ei.Ensemble([bad, good], combine="vote")
    engine.fails_on_run = ei.EngineRunError("out of memory")
    answer = ensemble.predict(LIGHT)
    assert answer.label == "light"
    assert answer.reason == "vote of 1 of 2 members: sample 2 failed (out of memory)"
    with pytest.raises(ei.EngineRunError, match="out of memory"):
        ei.Ensemble([bad, bad]).predict(LIGHT)


@pytest.mark.usefixtures("one_thread")
def test_under_a_spike_the_best_member_answers_alone(sample, tmp_path):
    held = Held()
    weak = ei.load(sample, engine=FakeEngine(held))
    strong = ei.load(with_labels(tmp_path / "b.eib", ("light", "dark"), version="2"), engine=FakeEngine(held))
    ensemble = ei.Ensemble([weak, strong], best=1, shedding=TWITCHY)
    for _ in range(20):
        spike(held, ensemble.predict)
        answer = ensemble.predict(LIGHT)
        if "alone" in answer.reason:
            break
    assert answer.reason.endswith("so that sample 2 answers alone")
    assert answer.bundle == strong.digest
    ends = time.monotonic() + PATIENCE_S
    while ensemble.predict(LIGHT).reason != "mean of 2 members":
        assert time.monotonic() < ends


def test_what_cannot_answer_together_is_refused(sample, tmp_path):
    model = ei.load(sample, engine=FakeEngine())
    other = ei.load(with_labels(tmp_path / "o.eib", ("cat", "dog")), engine=FakeEngine())
    sheds = ei.load(sample, engine=FakeEngine(), variant="fake-fp32", traffic=ei.Traffic(shed_to="fake-int8"))
    for members, options, message in (
        ([model], {}, "two or more loaded models"),
        ([model, "x"], {}, "two or more loaded models"),
        ([model, other], {}, "cannot answer with sample 1"),
        ([model, sheds], {}, "sheds load by itself"),
        ([model, model], {"combine": "median"}, "mean or vote"),
        ([model, model], {"best": 2}, "an index below 2"),
    ):
        with pytest.raises(ei.InputError, match=message):
            ei.Ensemble(members, **options)
