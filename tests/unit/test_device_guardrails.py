"""What stops a version on a device: NaN, failures, golden inputs, budgets; vetoes; damage, which is not its fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from device_rig import ITEM, DeviceRig, answered, failing, nan
from signed_files import FAMILY

import edgeinfer as ei
from edgeinfer.bundle import Budgets
from edgeinfer.rollout import Exposures, Vetoes


@pytest.fixture
def rig(tmp_path):
    return DeviceRig(tmp_path)


def slots(device):
    return device._family(FAMILY).slots


@pytest.mark.parametrize("answer", [nan, failing])
def test_a_trial_that_answers_wrongly_is_reverted_and_the_call_is_answered(rig, answer):
    digest = rig.publish("2.0.0", b"new")
    rig.choose(digest)
    device = rig.device()
    device.update()
    assert answered(device) == "2.0.0"
    rig.engine.answers[b"new"] = answer
    rig.server.changes = lambda _, __: ei.UnreachableError("no network")
    assert device.model(FAMILY).predict(ITEM).label is not None
    assert answered(device) == "1.0.0"
    device.close()
    device = rig.device()
    assert answered(device) == "1.0.0"
    (veto,) = Vetoes(device._furniture.home).entries()
    assert veto.digest == digest
    assert ("NaN or infinite" if answer is nan else "the engine broke") in veto.message
    exposed = [each.digest for each in Exposures(device._furniture.home).entries()]
    assert digest in exposed


def test_what_was_vetoed_is_not_taken_again(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()
    rig.engine.answers[b"new"] = nan
    assert answered(device) == "1.0.0"
    report = device.update()
    assert report.on_trial == {}
    assert answered(device) == "1.0.0"
    rig.choose(rig.publish("3.0.0", b"newer"))
    device.update()
    assert answered(device) == "3.0.0"


def test_a_bundle_whose_golden_inputs_fail_here_never_answers(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.engine.answers[b"new"] = all_five
    rig.choose(digest)
    device = rig.device()
    assert answered(device) == "1.0.0"
    device.update()
    assert answered(device) == "1.0.0"
    (veto,) = Vetoes(device._furniture.home).entries()
    assert veto.kind == "load_failure"
    assert "golden" in veto.message
    assert slots(device).trial is None


def all_five(image):
    return np.full((len(image), 2), 5.0, np.float32)


def test_a_current_that_begins_to_fail_gives_way_to_the_previous(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()
    assert answered(device, 4) == "2.0.0"
    rig.choose(rig.publish("3.0.0", b"newer"), rollout="r2")
    device.update()
    assert answered(device, 4) == "3.0.0"
    rig.engine.answers[b"newer"] = failing
    for _ in range(2):
        with pytest.raises(ei.NoAnswerError):
            device.model(FAMILY).predict(ITEM)
    assert answered(device) == "2.0.0"
    assert slots(device).previous is None


@pytest.mark.parametrize(("budget", "calls"), [({"p99_ms": 1e-6}, 301), ({"p99_ms": 1e6}, 700)])
def test_a_current_that_is_too_slow_gives_way_once_that_is_known(rig, budget, calls):
    rig.choose(rig.publish("2.0.0", b"new", lambda each: replace(each, budgets=Budgets(**budget))))
    device = rig.device()
    device.update()
    assert answered(device, 50) == "2.0.0"
    too_slow = budget["p99_ms"] < 1
    assert answered(device, calls - 50) == ("1.0.0" if too_slow else "2.0.0")
    found = [each.kind for each in Vetoes(device._furniture.home).entries()]
    assert found == (["p99"] if too_slow else [])


def test_a_model_that_turns_to_nan_gives_way_though_its_answers_have_no_classes(rig):
    """Without classes NaN is no error of its own: health sees it, and the version before answers."""

    def plain(manifest):
        (output,) = manifest.outputs
        bare = replace(output, labels=None, postprocess=())
        return replace(
            manifest, outputs=(bare,), calibration=None, cascade=None, cloud=None, drift=None, confusion=None
        )

    rig.choose(rig.publish("2.0.0", b"new", plain))
    device = rig.device()
    device.update()
    for _ in range(4):
        device.model(FAMILY).predict(ITEM)
    assert not device.model(FAMILY).on_trial
    rig.engine.answers[b"new"] = nan
    for _ in range(130):
        device.model(FAMILY).predict(ITEM)
    assert device.model(FAMILY).model.manifest.version == "1.0.0"
    (veto,) = Vetoes(device._furniture.home).entries()
    assert veto.kind == "not_finite"


def test_a_damaged_version_gives_way_and_is_fetched_again(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    with rig.device() as device:
        device.update()
        assert answered(device, 4) == "2.0.0"
        blob = device.model(FAMILY).model.manifest.variants[0].blob
    path = rig.folder / "home" / "models" / "blobs" / "sha256" / blob.sha256
    path.write_bytes(b"x" * blob.size)
    device = rig.device()
    assert answered(device) == "1.0.0"
    assert Vetoes(device._furniture.home).entries() == []
    device.update()
    assert answered(device) == "2.0.0"
