"""A version that ends the process is reverted after two deaths; an app that is closed, or killed while idle, is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from device_rig import DeviceRig, answered
from signed_files import FAMILY

from edgeinfer.rollout import Vetoes

PROGRAM = """
import os, signal, sys
import edgeinfer as ei
from device_rig import ITEM, VersionedEngine

home, bundled, dies = sys.argv[1:]

class Engine(VersionedEngine):
    def load(self, model, options):
        if dies == "load" and model.startswith(b"new:"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(model, options)

engine = Engine()
settings = ei.DeviceSettings(load={"engine": engine, "measure": False})
device = ei.Device(home, bundled={"vision": bundled}, settings=settings)
model = device.model("vision")
print(model.model.manifest.version, flush=True)
if dies == "idle":
    os.kill(os.getpid(), signal.SIGKILL)
if dies == "closed":
    sys.exit()
if dies == "answer":
    engine.answers[b"new"] = lambda image: os.kill(os.getpid(), signal.SIGKILL)
model.predict(ITEM)
if dies == "later":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def rig(tmp_path):
    rig = DeviceRig(tmp_path)
    rig.choose(rig.publish("2.0.0", b"new"))
    with rig.device() as device:
        device.update()
    return rig


def start(rig, dies):
    """Start the app, which dies in a way; return the version that was loaded, if it came so far."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, rig.folder / "home", rig.bundled, dies],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("dies", "told"), [("load", ""), ("answer", "2.0.0")])
def test_two_deaths_before_an_answer_revert_a_version(rig, dies, told):
    assert [start(rig, dies), start(rig, dies)] == [told, told]
    assert start(rig, dies) == "1.0.0"
    with rig.device() as device:
        assert answered(device) == "1.0.0"
        (veto,) = Vetoes(device._furniture.home).entries()
        assert veto.kind == "crash_loop"
        assert device._family(FAMILY).slots.trial is None


@pytest.mark.parametrize("dies", ["idle", "closed", "later"])
def test_an_app_that_was_closed_or_answered_does_not_count(rig, dies):
    assert [start(rig, dies) for _ in range(4)] == ["2.0.0"] * 4
    with rig.device() as device:
        assert Vetoes(device._furniture.home).entries() == []


def test_an_answer_between_two_deaths_takes_the_first_away(rig):
    assert [start(rig, dies) for dies in ("load", "later", "load", "later")] == ["", "2.0.0", "", "2.0.0"]
