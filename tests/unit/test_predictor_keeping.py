"""What a predictor keeps: earlier answers, and cases that wait for the cloud."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from predictor_rig import DOWN, SURE, UNSURE, Rig

import edgeinfer as ei
from edgeinfer.bundle import Cloud as Mapping
from edgeinfer.bundle import CloudInput, CloudOutput, Crop
from edgeinfer.errors import EngineRunError
from edgeinfer.host import Surroundings
from edgeinfer.net import Response

KEY = b"k" * 32
CACHE = ei.CacheLimits(max_bytes=100_000, ttl_s=3600.0)
QUEUE = ei.QueueLimits(max_bytes=100_000, ttl_s=3600.0)
BOTH = ("cloud_inference", "deferred_inference")


def waiting_rig(folder, **options) -> tuple[Rig, list[ei.Deferred]]:
    """A predictor whose cases may wait, and the answers that came later."""
    answers: list[ei.Deferred] = []
    options = {"queue": QUEUE, "key": KEY, "consent": BOTH, "on_deferred": answers.append, **options}
    return Rig(folder, **options), answers


def test_the_same_item_is_sent_once_and_has_an_answer_without_a_network(tmp_path):
    rig = Rig(tmp_path, cache=CACHE)
    first = rig.own.predict(UNSURE)
    rig.around = Surroundings("none")
    rig.clock.advance(10)
    for given in (rig.own.predict(UNSURE), asyncio.run(rig.own.apredict(UNSURE))):
        assert (given.source, given.label, given.confidence) == ("cache", first.label, first.confidence)
        assert given.reason == "confidence 0.60 is below 0.9; an earlier answer for the same item"
        assert (given.variant, given.engine) == (first.variant, first.engine)
        np.testing.assert_array_equal(given.outputs["logits"], first.outputs["logits"])
        assert [each.where for each in given.attempts] == ["device", "cache"]
    assert rig.inferences == 1
    assert rig.own.predict(UNSURE * 1.01).source == "device", "another item"


def test_an_answer_is_kept_for_its_time_and_erased_with_the_consent(tmp_path):
    rig = Rig(tmp_path, cache=CACHE)
    rig.own.predict(UNSURE)
    rig.server.fails = DOWN
    rig.clock.advance(3599)
    assert rig.own.predict(UNSURE).source == "cache"
    rig.clock.advance(2)
    assert rig.own.predict(UNSURE).source == "device"
    rig.server.fails = None
    rig.clock.advance(600)
    assert rig.own.predict(UNSURE).source == "cloud"
    ei.Consents(rig.home).withdraw("cloud_inference")
    ei.Consents(rig.home).give("cloud_inference")
    rig.server.fails = DOWN
    assert rig.own.predict(UNSURE).source == "device"


def test_the_device_s_own_earlier_answer_stands_in_for_an_engine_that_fails(tmp_path):
    rig = Rig(tmp_path, mode="only_on_device", cache=CACHE)
    rig.own.predict(SURE)
    rig.engine.fails_on_run = EngineRunError("out of memory")
    given = rig.own.predict(SURE)
    assert (given.source, given.label) == ("cache", "light")
    assert given.reason == "the device failed (out of memory); an earlier answer for the same item"
    with pytest.raises(ei.NoAnswerError):
        rig.own.predict(UNSURE)


def test_a_call_for_the_device_alone_is_given_no_answer_of_the_cloud_s(tmp_path):
    rig = Rig(tmp_path, cache=CACHE)
    rig.own.predict(UNSURE)
    rig.engine.fails_on_run = EngineRunError("out of memory")
    # The device's own answer to it was kept, too, and says so.
    assert rig.own.predict(UNSURE, mode="only_on_device").confidence == pytest.approx(0.5987, abs=1e-4)
    assert rig.own.predict(UNSURE).confidence == pytest.approx(0.8808, abs=1e-4)


def test_a_home_that_is_full_costs_a_request_and_no_answer(tmp_path):
    rig = Rig(tmp_path, cache=ei.CacheLimits(max_bytes=1))
    assert [rig.own.predict(UNSURE).source for _ in range(2)] == ["cloud", "cloud"]


@pytest.mark.parametrize("around", [Surroundings("none"), Surroundings("metered")])
def test_an_unsure_case_waits_and_its_answer_comes_when_the_cloud_can_be_asked(tmp_path, around):
    rig, answers = waiting_rig(tmp_path)
    rig.around = around
    given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert given.deferred is not None
    assert "; the case waits: " in given.reason
    assert rig.own.health.waiting == 1
    assert rig.own.drain() == 0
    rig.around = Surroundings()
    rig.clock.advance(10)
    assert rig.own.drain() == 1
    (later,) = answers
    assert later.id == given.deferred
    assert later.queued_at == 1_800_000_000.0
    assert (later.prediction.source, later.prediction.label) == ("cloud", "light")
    assert later.prediction.reason == "the case waited for the cloud"
    assert rig.own.health.waiting == 0
    assert [each.purpose for each in ei.EgressRecord(rig.home).entries()][-1] == "deferred_inference"


def test_a_cloud_that_fails_lets_the_case_wait_on(tmp_path):
    rig, answers = waiting_rig(tmp_path)
    rig.server.fails = DOWN
    assert rig.own.predict(UNSURE).deferred is not None
    rig.clock.advance(60)
    assert rig.own.drain() == 0
    assert rig.own.health.waiting == 1
    rig.server.fails = None
    rig.clock.advance(60)
    assert rig.own.drain() == 1
    assert len(answers) == 1


def test_a_case_that_the_server_takes_for_wrong_leaves_and_is_counted(tmp_path):
    rig, answers = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)
    rig.server.fails = Response(400)
    assert rig.own.drain() == 0
    assert (rig.own.health.waiting, answers) == (0, [])
    assert rig.home.counted("deferred.refused") == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": None}, "there is no key"),
        ({"queue": None}, "the policy has no queue"),
        ({"consent": ("cloud_inference",)}, "the user did not agree to it"),
        ({"consent": ("deferred_inference",)}, "nor here"),
        ({"mode": "only_on_device"}, "nothing may be sent, ever"),
    ],
)
def test_what_keeps_a_case_from_waiting(tmp_path, options, why):
    rig, _ = waiting_rig(tmp_path, **options)
    rig.around = Surroundings("none")
    given = rig.own.predict(UNSURE)
    assert (given.source, given.deferred) == ("device", None), why
    assert rig.home.rows("SELECT COUNT(*) FROM deferred") == [(0,)]


def test_a_sure_answer_does_not_wait(tmp_path):
    rig, _ = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    assert rig.own.predict(SURE).deferred is None


def test_a_queue_at_its_bound_says_so_and_the_answer_stays(tmp_path):
    rig, _ = waiting_rig(tmp_path, queue=ei.QueueLimits(max_bytes=300))
    rig.around = Surroundings("none")
    given = [rig.own.predict(UNSURE) for _ in range(3)]
    assert [each.deferred is not None for each in given] == [True, False, False]
    assert all(each.source == "device" for each in given)
    assert "the queue is full" in given[-1].reason
    assert rig.home.counted("deferred.full") == 2


def test_opting_out_erases_what_waits(tmp_path):
    for purpose in BOTH:
        folder = tmp_path / purpose
        folder.mkdir()
        rig, answers = waiting_rig(folder)
        rig.around = Surroundings("none")
        rig.own.predict(UNSURE)
        ei.Consents(rig.home).withdraw(purpose)
        assert rig.own.health.waiting == 0
        rig.around = Surroundings()
        rig.clock.advance(10)
        assert (rig.own.drain(), answers) == (0, [])


def test_nothing_of_the_item_can_be_read_from_the_home(tmp_path):
    rig, _ = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())
    assert UNSURE.tobytes() not in kept
    assert UNSURE.tobytes()[:16] not in kept


def test_what_waits_is_drained_by_itself_once_the_cloud_answers(tmp_path):
    handed = threading.Event()
    answers: list[ei.Deferred] = []

    def hand_over(answer: ei.Deferred) -> None:
        answers.append(answer)
        handed.set()

    rig, _ = waiting_rig(tmp_path, on_deferred=hand_over)
    rig.around = Surroundings("none")
    waiting = rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)
    assert rig.own.predict(UNSURE * 1.01).source == "cloud"
    assert handed.wait(20)
    assert answers[0].id == waiting.deferred


def test_a_hook_that_raises_is_a_warning_and_the_case_waits_on(tmp_path):
    rig, _ = waiting_rig(tmp_path, on_deferred=lambda _: 1 / 0)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)
    with pytest.warns(RuntimeWarning, match="on_deferred raised ZeroDivisionError"):
        assert rig.own.drain() == 0
    assert rig.own.health.waiting == 1
    later: list[ei.Deferred] = []
    rig.own._on_deferred = later.append
    assert (rig.own.drain(), len(later), rig.own.health.waiting) == (1, 1, 0)


def test_draining_needs_somewhere_for_the_answers(tmp_path):
    rig = Rig(tmp_path, queue=QUEUE, key=KEY)
    with pytest.raises(ei.PolicyError, match="nowhere to go"):
        rig.own.drain()


def test_what_comes_from_afar_ends_cache_and_queue(tmp_path):
    rig, _ = waiting_rig(tmp_path, cache=CACHE)
    rig.own.tighten(ei.RemotePolicy(cache=False, queue=False))
    rig.around = Surroundings("none")
    assert rig.own.predict(UNSURE).deferred is None
    assert rig.home.rows("SELECT COUNT(*) FROM answers") == [(0,)]
    assert rig.home.rows("SELECT COUNT(*) FROM deferred") == [(0,)]


def test_a_predictor_that_is_offline_lets_cases_wait_and_sends_none(tmp_path):
    rig, answers = waiting_rig(tmp_path, offline=True)
    assert rig.own.predict(UNSURE).deferred is not None
    assert (rig.own.drain(), answers, rig.transport.requests) == (0, [], [])


def test_a_case_is_not_sent_once_more_is_to_be_taken_from_it(tmp_path):
    rig, answers = waiting_rig(tmp_path)
    picture = np.full((8, 8), 140, np.uint8)
    rig.around = Surroundings("none")
    assert rig.own.predict(picture).deferred is not None
    rig.around = Surroundings()
    rig.clock.advance(10)
    rig.own.tighten(ei.RemotePolicy(reduce=(Crop(0.0, 0.0, 0.5, 0.5),)))
    assert (rig.own.drain(), answers, rig.inferences) == (0, [], 0)
    assert rig.home.counted("deferred.outdated") == 1


@pytest.mark.parametrize("purpose", BOTH)
def test_consent_that_is_taken_back_while_a_case_is_worked_on_keeps_it_back(tmp_path, purpose):
    rig, answers = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)
    right = rig.transport.answer

    def answer(request):
        ei.Consents(rig.home).withdraw(purpose)
        ei.Consents(rig.home).give(purpose)
        ei.Consents(rig.home).withdraw(purpose)
        return right(request)

    rig.transport.answer = answer
    assert (rig.own.drain(), answers, rig.inferences) == (0, [], 0)


@pytest.mark.parametrize("ends", ["tighten", "close"])
def test_working_through_the_queue_ends_when_nothing_may_be_sent_any_more(tmp_path, ends):
    rig, answers = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    for _ in range(3):
        rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)

    def take(answer):
        answers.append(answer)
        if ends == "close":
            rig.own.close()
        else:
            rig.own.tighten(ei.RemotePolicy(mode="only_on_device"))

    rig.own._on_deferred = take
    assert rig.own.drain() == 1
    assert rig.home.rows("SELECT COUNT(*) FROM deferred") == [(2,)]


@pytest.mark.parametrize("answer", [Response(404), Response(302), Response(200, {}, b"<html>sign in</html>")])
def test_a_server_that_is_another_one_for_a_while_costs_no_case(tmp_path, answer):
    rig, _ = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    rig.around = Surroundings()
    rig.clock.advance(10)
    right, rig.transport.answer = rig.transport.answer, lambda _: answer
    assert rig.own.drain() == 0
    assert rig.own.health.waiting == 1
    rig.transport.answer = right
    rig.clock.advance(120)
    assert rig.own.drain() == 1


def test_cases_that_nobody_asks_for_any_more_are_erased_at_the_next_start(tmp_path):
    rig, _ = waiting_rig(tmp_path)
    rig.around = Surroundings("none")
    rig.own.predict(UNSURE)
    rig.clock.advance(30 * 86_400)
    ei.Predictor(rig.model, home=rig.home)
    assert rig.home.rows("SELECT COUNT(*) FROM deferred") == [(0,)]


def test_answers_under_other_labels_are_not_those_of_before(tmp_path):
    rig = Rig(tmp_path, cache=CACHE)
    assert rig.own.predict(UNSURE).label == "light"
    mapping = Mapping("m", {"image": CloudInput("x")}, {"logits": CloudOutput("y", ("light", "dark"))})
    other = ei.Predictor(
        rig.model, rig.own._services.client.endpoint, policy=rig.own.policy, home=rig.home, mapping=mapping,
        transport=rig.transport, surroundings=Surroundings,
    )  # fmt: skip
    assert (other.predict(UNSURE).source, other.predict(UNSURE).label) == ("cloud", "dark")
