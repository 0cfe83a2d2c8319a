"""What runs beside the version that answers: as the flags have it, kept by its slot, and gone when it is killed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from device_rig import ITEM, DeviceRig, answered
from signed_files import FAMILY

import edgeinfer as ei
from edgeinfer.testing.engine import mean_logits


@pytest.fixture
def rig(tmp_path):
    return DeviceRig(tmp_path, shadow=ei.ShadowLimits(cpu_share=1.0))


def beside(digest, sample=1.0):
    flag = {
        "variants": {"on": {"digest": digest, "sample": sample}},
        "defaultVariant": "on",
        "state": "ENABLED",
    }
    return {f"shadow-{FAMILY}": flag}


def compared(device, least):
    """Ask until the shadow has compared so many, and return its report."""
    model, waiting = device.model(FAMILY), threading.Event()
    for _ in range(2000):
        model.predict(ITEM)
        report = device.shadow(FAMILY).report()
        if report is not None and report.compared >= least:
            return report
        waiting.wait(0.002)
    raise AssertionError(report)


def test_a_candidate_answers_beside_and_nobody_hears_it(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.engine.answers[b"new"] = lambda image: mean_logits(image) * np.float32(1.0)
    rig.choose("", **beside(digest))
    with rig.device() as device:
        assert answered(device) == "1.0.0"
        device.update()
        report = compared(device, 5)
        assert (report.candidate, report.agreement) == (digest, 1.0)
        assert answered(device) == "1.0.0"
    with rig.device() as device:  # after a restart too, from what lies here
        assert compared(device, 3).candidate == digest


def test_a_candidate_that_fails_costs_no_answer(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.choose("", **beside(digest))
    with rig.device() as device:
        answered(device)
        device.update()
        compared(device, 1)

        def broken(_image):
            raise RuntimeError("broken")

        rig.engine.answers[b"new"] = broken
        waiting = threading.Event()
        for _ in range(500):
            assert answered(device) == "1.0.0"
            if device.shadow(FAMILY).report().stopped:
                break
            waiting.wait(0.002)
        assert device.shadow(FAMILY).report().stopped == "errors"


def test_a_shadow_that_is_killed_ends_and_its_files_go(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.choose("", **beside(digest))
    with rig.device() as device:
        answered(device)
        device.update()
        compared(device, 1)
        killed = beside(digest)
        killed[f"shadow-{FAMILY}"]["state"] = "DISABLED"
        rig.choose("", **killed)
        device.update()
        assert device.shadow(FAMILY).report() is None
        assert not list((rig.folder / "home/models/manifests").iterdir())


def test_a_candidate_that_is_chosen_is_there_already(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.choose("", **beside(digest))
    with rig.device() as device:
        answered(device)
        device.update()
        before = sum("/blobs/" in each.url for each in rig.transport.requests)
        rig.choose(digest)
        device.update()
        assert answered(device, 4) == "2.0.0"
        assert sum("/blobs/" in each.url for each in rig.transport.requests) == before
        assert device.shadow(FAMILY).report() is None
