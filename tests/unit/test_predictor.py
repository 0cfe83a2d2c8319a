"""One call of a predictor: routes, reasons, budget, hooks; with a server and a clock that are fakes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from predictor_rig import DOWN, SURE, UNSURE, URL, Rig

import edgeinfer as ei
from edgeinfer.bundle import Cloud as Mapping
from edgeinfer.bundle import CloudInput, CloudOutput, SendPicture
from edgeinfer.errors import EngineRunError, NetworkTimeoutError, UnreachableError
from edgeinfer.host import Surroundings
from edgeinfer.net import Response


def test_an_unsure_answer_is_handed_on_and_the_cloud_s_classes_are_put_in_our_order(tmp_path):
    rig = Rig(tmp_path)
    given = rig.own.predict(UNSURE)
    assert (given.source, given.label, given.reason) == ("cloud", "light", "confidence 0.60 is below 0.9")
    # The server says dark first: -1, 1. At its own temperature of 1, not at the device's of a half.
    assert given.confidence == pytest.approx(1 / (1 + np.exp(-2)))
    np.testing.assert_allclose(given.outputs["logits"], [[1, -1]], atol=1e-6)
    assert (given.variant, given.engine) == ("sample", "fake 1")
    assert given.bundle == rig.model.digest
    assert [(each.where, each.outcome, each.requests) for each in given.attempts] == [
        ("device", "answered", 0),
        ("cloud", "answered", 3),
    ]
    assert given.attempts[1].sent_bytes == sum(len(each.body) for each in rig.transport.requests)


def test_a_sure_answer_stays_and_sends_nothing(tmp_path):
    rig = Rig(tmp_path)
    given = rig.own.predict(SURE)
    assert (given.source, given.label) == ("device", "light")
    assert given.reason == f"prefer_on_device: {rig.model.predict(SURE).reason}"
    assert [(each.where, each.outcome) for each in given.attempts] == [("device", "answered")]
    assert rig.transport.requests == []


def test_threads_and_event_loops_get_the_same(tmp_path):
    rig = Rig(tmp_path)
    for item in (SURE, UNSURE):
        one, other = rig.own.predict(item), asyncio.run(rig.own.apredict(item))
        assert (one.source, one.label, one.reason) == (other.source, other.label, other.reason)
        assert [each.where for each in one.attempts] == [each.where for each in other.attempts]


@pytest.mark.parametrize(
    ("options", "around", "reason"),
    [
        ({"consent": ()}, Surroundings(), "no consent is recorded"),
        ({"consent_version": "2"}, Surroundings(), "no consent is recorded"),
        ({"offline": True}, Surroundings(), "the policy is offline"),
        ({}, Surroundings("none"), "there is no network"),
        ({}, Surroundings("metered"), "the network is metered"),
        ({}, Surroundings("unmetered", 0.1, False), "the battery is low"),
        ({"max_escalations_per_hour": 0}, Surroundings(), "the budget of 0 escalations an hour is spent"),
        ({"least_cloud_ms": 20_000.0}, Surroundings(), "too little time is left"),
    ],
)
def test_what_keeps_an_unsure_answer_on_the_device(tmp_path, options, around, reason):
    rig = Rig(tmp_path, **options)
    rig.around = around
    given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert given.reason.startswith(f"confidence 0.60 is below 0.9, but {reason}: ")
    assert rig.transport.requests == []


@pytest.mark.parametrize(
    ("options", "around"),
    [({"metered": True}, Surroundings("metered")), ({}, Surroundings("unmetered", 0.1, True))],
)
def test_what_does_not(tmp_path, options, around):
    rig = Rig(tmp_path, **options)
    rig.around = around
    assert rig.own.predict(UNSURE).source == "cloud"


def test_consent_that_is_taken_back_counts_from_the_next_call_on(tmp_path):
    rig = Rig(tmp_path)
    assert rig.own.predict(UNSURE).source == "cloud"
    ei.Consents(rig.home).withdraw("cloud_inference")
    assert rig.own.predict(UNSURE).source == "device"
    assert rig.inferences == 1


def test_consent_that_is_taken_back_in_the_midst_of_a_call_keeps_the_request_back(tmp_path):
    rig = Rig(tmp_path)
    right = rig.transport.answer

    def answer(request):
        ei.Consents(rig.home).withdraw("cloud_inference")
        return right(request)

    rig.transport.answer = answer
    given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert "the user took the consent back" in given.reason
    assert rig.inferences == 0


def test_the_budget_of_escalations_holds_for_an_hour(tmp_path):
    rig = Rig(tmp_path, max_escalations_per_hour=2)
    assert [rig.own.predict(UNSURE).source for _ in range(3)] == ["cloud", "cloud", "device"]
    assert rig.own.health.escalated == 2
    rig.clock.advance(3601)
    assert rig.own.predict(UNSURE).source == "cloud"


def test_retries_do_not_count_as_escalations(tmp_path):
    rig = Rig(tmp_path)
    rig.server.fails = Response(503)
    rig.own.predict(UNSURE)
    assert rig.inferences == 2
    assert rig.own.health.escalated == 1


def test_prefer_in_cloud_asks_the_cloud_first_and_the_device_where_it_cannot_be_asked(tmp_path):
    rig = Rig(tmp_path, mode="prefer_in_cloud")
    given = rig.own.predict(SURE)
    assert (given.source, given.reason) == ("cloud", "prefer_in_cloud")
    rig.server.fails = DOWN
    given = rig.own.predict(SURE)
    assert given.source == "device"
    assert given.reason.startswith(
        "prefer_in_cloud, but the cloud gave no answer (the cloud cannot be reached): "
    )
    assert [each.where for each in given.attempts] == ["cloud", "device"]


def test_only_in_cloud_never_asks_the_device(tmp_path):
    rig = Rig(tmp_path, mode="only_in_cloud")
    rig.server.fails = DOWN
    with pytest.raises(ei.NoAnswerError) as error:
        rig.own.predict(SURE)
    assert error.value.device is None
    assert isinstance(error.value.cloud, UnreachableError)
    assert rig.model.health.runs == 0


def test_a_call_may_be_stricter_than_the_policy_and_not_looser(tmp_path):
    rig = Rig(tmp_path)
    given = rig.own.predict(UNSURE, mode="only_on_device")
    assert (given.source, rig.transport.requests) == ("device", [])
    for looser in ("prefer_in_cloud", "only_in_cloud", "everywhere"):
        with pytest.raises(ei.PolicyError, match="mode of a call"):
            rig.own.predict(UNSURE, mode=looser)


@pytest.mark.parametrize("way", ["thread", "loop"])
def test_an_engine_that_fails_hands_on_whatever_the_confidence(tmp_path, way):
    rig = Rig(tmp_path, threshold=0.0)
    rig.engine.fails_on_run = EngineRunError("out of memory")
    given = rig.own.predict(SURE) if way == "thread" else asyncio.run(rig.own.apredict(SURE))
    assert (given.source, given.reason) == ("cloud", "the device failed (out of memory)")


def test_both_causes_are_told_and_survive_pickling(tmp_path):
    import pickle

    rig = Rig(tmp_path)
    rig.engine.fails_on_run = EngineRunError("out of memory")
    rig.server.fails = DOWN
    with pytest.raises(ei.NoAnswerError) as error:
        rig.own.predict(SURE)
    for each in (error.value, pickle.loads(pickle.dumps(error.value))):
        assert isinstance(each.device, EngineRunError)
        assert isinstance(each.cloud, UnreachableError)
        assert "on the device: out of memory; in the cloud: the cloud cannot be reached" in str(each)


def test_only_on_device_says_why_the_cloud_was_not_asked(tmp_path):
    rig = Rig(tmp_path, mode="only_on_device")
    rig.engine.fails_on_run = EngineRunError("out of memory")
    with pytest.raises(ei.NoAnswerError) as error:
        rig.own.predict(SURE)
    assert error.value.cloud == "the mode is only_on_device"


def test_offline_says_so_in_the_error(tmp_path):
    rig = Rig(tmp_path, mode="only_in_cloud", offline=True)
    with pytest.raises(ei.NoAnswerError) as error:
        rig.own.predict(SURE)
    assert error.value.cloud == "the policy is offline"


def test_what_surrounds_a_device_and_cannot_be_told_keeps_the_answer_there(tmp_path):
    rig = Rig(tmp_path)
    rig.own._services._parts.__dict__["surroundings"] = lambda: 1 / 0
    with pytest.warns(RuntimeWarning, match="surroundings raised ZeroDivisionError"):
        given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert "there is no network" in given.reason


@pytest.mark.parametrize("deadline_ms", [float("inf"), 1e14])
def test_any_deadline_will_do(tmp_path, deadline_ms):
    rig = Rig(tmp_path)
    assert rig.own.predict(SURE, deadline_ms=deadline_ms).source == "device"
    assert rig.own.predict(UNSURE, deadline_ms=deadline_ms).source == "cloud"


def test_numbers_beyond_the_bundle_s_type_are_no_answer(tmp_path):
    rig = Rig(tmp_path)
    rig.server._model = lambda _: {"y": np.array([[1e300, 0.0]])}
    given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert "values beyond float32" in given.reason


def test_a_caller_s_own_error_is_sent_nowhere(tmp_path):
    rig = Rig(tmp_path, default="unknown")
    for wrong in (
        np.zeros((1, 1, 5, 5), np.float32),
        np.full((1, 1, 4, 4), np.nan, np.float32),
        "nothing.png",
    ):
        with pytest.raises(ei.InputError):
            rig.own.predict(wrong)
    with pytest.raises(ei.InputError, match="deadline_ms"):
        rig.own.predict(SURE, deadline_ms=float("nan"))
    assert rig.transport.requests == []


def test_the_cloud_leaves_time_for_the_device_behind_it(tmp_path):
    rig = Rig(tmp_path, mode="prefer_in_cloud")
    rig.own.predict(SURE)
    rig.transport.takes_s = 60.0
    begun = rig.clock.monotonic()
    given = rig.own.predict(SURE, deadline_ms=1000)
    assert given.source == "device"
    assert "was not answered in time" in given.reason
    assert 0.5 <= rig.clock.monotonic() - begun < 1.0


def test_only_in_cloud_may_use_all_of_the_time(tmp_path):
    rig = Rig(tmp_path, mode="only_in_cloud")
    rig.own.predict(SURE)
    rig.transport.takes_s = 60.0
    begun = rig.clock.monotonic()
    with pytest.raises(ei.NoAnswerError) as error:
        rig.own.predict(SURE, deadline_ms=1000)
    assert isinstance(error.value.cloud, NetworkTimeoutError)
    assert rig.clock.monotonic() - begun == pytest.approx(1.0)


def test_a_picture_is_sent_as_a_file_of_its_pixels_alone(tmp_path):
    from PIL import Image

    picture = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010E] = "at home"
    Image.new("L", (64, 32), 140).save(picture, exif=exif)
    mapping = Mapping(
        "m", {"image": CloudInput("file", "BYTES", None, SendPicture("png"))}, {"logits": CloudOutput("y")}
    )
    seen = []

    def answer(request):
        if request.method == "GET":
            return Response(200, {}, b'{"name": "m"}')
        seen.append(request.body)
        number = request.body.split(b'"id":"')[1].split(b'"')[0].decode()
        body = f'{{"id":"{number}","outputs":[{{"name":"y","datatype":"FP32","shape":[1,2],"data":[0,9]}}]}}'
        return Response(200, {}, body.encode())

    rig = Rig(tmp_path, change=lambda manifest: replace(manifest, cloud=mapping))
    rig.transport.answer = answer
    given = rig.own.predict(picture)
    assert (given.source, given.label) == ("cloud", "dark")
    assert b"\x89PNG" in seen[0]
    assert b"at home" not in rig.transport.sent
    assert picture.read_bytes() not in rig.transport.sent


def test_what_is_taken_from_pictures_is_taken_before_they_are_prepared_and_noted(tmp_path):
    half = np.concatenate([np.full((8, 4), 255, np.uint8), np.full((8, 4), 90, np.uint8)], axis=1)
    from edgeinfer.bundle import Crop

    rig = Rig(tmp_path, reduce=(Crop(0.5, 0.0, 1.0, 1.0),), threshold=1.0)
    given = rig.own.predict(half)
    # Of the right half, at 90 of 255, the server says dark; of the whole picture light.
    assert (given.source, given.label) == ("cloud", "dark")
    assert rig.own.predict(half, mode="only_on_device").label == "light"
    entries = ei.EgressRecord(rig.home).entries()
    assert entries[-1].reduced == "strip_metadata, crop 0.5 0 1 1"
    given = rig.own.predict(SURE)
    assert given.source == "device"
    assert "cannot be taken from a tensor" in given.reason


def test_what_comes_from_afar_tightens_and_can_be_taken_back(tmp_path):
    rig = Rig(tmp_path)
    rig.own.tighten(ei.RemotePolicy(mode="only_on_device"))
    assert rig.own.predict(UNSURE).source == "device"
    assert rig.transport.requests == []
    rig.own.tighten(ei.RemotePolicy(mode="only_in_cloud", threshold=0.5))
    assert rig.own.policy.mode == "prefer_on_device"
    assert rig.own.predict(UNSURE).source == "device", "60% are enough now"
    rig.own.tighten(None)
    assert rig.own.predict(UNSURE).source == "cloud"


def test_hooks_get_every_decision_and_every_answer(tmp_path):
    decisions, answers = [], []
    rig = Rig(tmp_path, on_decision=decisions.append, on_prediction=answers.append)
    rig.own.predict(SURE)
    rig.own.predict(UNSURE)
    assert [each.route.to for each in decisions] == ["device", "keep", "device", "cloud"]
    assert [each.source for each in answers] == ["device", "cloud"]
    rig.own._on_prediction = lambda _: 1 / 0
    with pytest.warns(RuntimeWarning, match="on_prediction raised ZeroDivisionError"):
        rig.own.predict(SURE)


def test_health_tells_of_device_cloud_and_escalations(tmp_path):
    rig = Rig(tmp_path)
    rig.server.fails = Response(429, {"retry-after": "3600"})
    rig.own.predict(UNSURE)
    health = rig.own.health
    assert health.device.runs >= 1
    assert (health.cloud.circuit, health.cloud.calls, health.cloud.retries) == ("open", 1, 0)
    assert "3600 s" in health.cloud.reason
    assert (health.escalated, health.expected_escalation, health.waiting) == (1, 0.88, None)
    given = rig.own.predict(UNSURE)
    assert "but the cloud is left alone (the server asks to be left alone for 3600 s)" in given.reason
    assert rig.inferences == 1


def test_a_home_that_is_damaged_allows_nothing(tmp_path):
    rig = Rig(tmp_path)
    rig.home.close()
    (tmp_path / "home/home.db").write_bytes(b"no database" * 1000)
    for rest in (tmp_path / "home").glob("home.db-*"):
        rest.unlink()
    given = rig.own.predict(UNSURE)
    assert (given.source, rig.transport.requests) == ("device", [])
    assert "no consent is recorded" in given.reason
    assert rig.own.predict(SURE).source == "device"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"endpoint": None}, "no cloud"),
        (lambda m: replace(m, calibration=None, cascade=None), {"threshold": 0.5}, "without calibration"),
        (None, {"mapping": Mapping("m", {"image": CloudInput("x")}, {"logits": CloudOutput("y", ("light", "grey"))})},
         "other than the bundle's: ['dark', 'grey']"),
        (None, {"mapping": Mapping("m", {"picture": CloudInput("x")}, {"logits": CloudOutput("y")})}, "cloud.inputs"),
        (None, {"key": b"short"}, "32 random bytes"),
    ],
)  # fmt: skip
def test_what_is_refused_at_the_start(tmp_path, change, options, message):
    with pytest.raises(ei.PolicyError) as error:
        Rig(tmp_path, change=change, **options)
    assert message in str(error.value)


def test_a_mode_that_sends_needs_a_home(tmp_path):
    rig = Rig(tmp_path)
    with pytest.raises(ei.PolicyError, match="no home"):
        ei.Predictor(rig.model, ei.Endpoint(URL), policy=ei.Policy(mode="prefer_on_device"))
    assert ei.Predictor(rig.model).predict(UNSURE).source == "device"


def test_without_calibration_an_unsure_answer_is_not_handed_on(tmp_path):
    rig = Rig(tmp_path, change=lambda manifest: replace(manifest, calibration=None, cascade=None))
    assert rig.own.policy.threshold is None
    assert rig.own.predict(UNSURE).source == "device"


def test_a_server_with_other_classes_is_refused_before_anything_is_sent(tmp_path):
    rig = Rig(tmp_path)
    rig.server._tensors["outputs"] = {"y": ("FP32", (-1, 1000))}
    with pytest.raises(ei.PolicyError, match=r"output y .*expected \['batch', 2\], found \[-1, 1000\]"):
        rig.own.check_cloud()
    given = rig.own.predict(UNSURE)
    assert given.source == "device"
    assert "output y of the cloud's model" in given.reason
    assert rig.inferences == 0


def test_asking_the_server_what_it_has_is_on_record_and_refused_where_nothing_may_be_asked(tmp_path):
    rig = Rig(tmp_path)
    assert rig.own.check_cloud().server.name == "fake"
    assert [each.why for each in ei.EgressRecord(rig.home).entries()] == ["metadata", "metadata"]
    rig.own.tighten(ei.RemotePolicy(mode="only_on_device"))
    with pytest.raises(ei.PolicyError, match="asks no server"):
        rig.own.check_cloud()
