"""What must not leave does not: in processes of their own, with every socket watched and every byte kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faulty_server import reset, says, serving, well

from edgeinfer.testing import FakeEngine, write_sample_bundle

PROGRAM = Path(__file__).with_name("all_paths.py")
ITEM = np.linspace(0.05, 0.15, 16, dtype=np.float32).reshape(1, 1, 4, 4)


def run(folder: Path, how: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Take every path of a predictor, in another process."""
    folder.mkdir(exist_ok=True)
    bundle = write_sample_bundle(folder / "sample.eib")
    np.save(folder / "item.npy", ITEM)
    asked = {"bundle": str(bundle), "home": str(folder / "home"), "item": str(folder / "item.npy"), **how}
    return subprocess.run(
        [sys.executable, PROGRAM, json.dumps(asked)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def taken(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("mode", ["only_on_device", "prefer_on_device", "prefer_in_cloud", "only_in_cloud"])
def test_offline_opens_no_socket_and_everything_local_works(tmp_path, mode):
    """The child raises at the first socket, and says which events there were."""
    with serving(well) as server:
        found = taken(run(tmp_path, {"url": server.url, "mode": mode, "offline": True, "watched": True}))
        assert found["events"] == []
        assert not server.received
    assert "cloud" not in found["sources"]
    if mode != "only_in_cloud":
        assert found["sources"].count("device") >= 5
    assert found["sources"].count("default") >= 1


def test_the_watch_itself_sees_what_opens_sockets(tmp_path):
    with serving(well) as server:
        asked = {"url": server.url, "mode": "prefer_on_device", "offline": False, "watched": True}
        found = taken(run(tmp_path, asked))
    assert any(event.startswith("socket.") for event in found["events"])


# What would betray an item: its bytes, its numbers, what the model makes of it, and what drift features see.
def traces() -> list[bytes]:
    outputs = FakeEngine().answer(ITEM)
    numbers = [*ITEM.reshape(-1).tolist(), *outputs.reshape(-1).tolist(), float(ITEM.mean())]
    texts = [f"{number:.6f}"[:7].encode() for number in numbers]
    return [ITEM.tobytes(), ITEM.tobytes()[:8], outputs.astype("<f4").tobytes(), *texts, b"light", b"0.59"]


@pytest.mark.parametrize("behave", [well, reset, says(500), says(200, b"<html>")])
def test_only_on_device_sends_no_input_no_output_and_no_feature(tmp_path, behave):
    with serving(behave) as server:
        found = taken(run(tmp_path, {"url": server.url, "mode": "only_on_device"}))
        assert not any(trace in server.received for trace in traces())
        assert not server.requests
    assert "cloud" not in found["sources"]
    assert {"device", "default", "error", "refused", "PolicyError"} <= set(found["sources"]), (
        "every path was taken"
    )


def test_a_process_that_is_killed_in_the_midst_of_a_call_has_sent_nothing(tmp_path):
    with serving(well) as server:
        done = run(tmp_path, {"url": server.url, "mode": "only_on_device", "killed": True})
        assert done.returncode == -signal.SIGKILL
        # The next start finds what was left, and stays as quiet.
        taken(run(tmp_path, {"url": server.url, "mode": "only_on_device"}))
        assert not any(trace in server.received for trace in traces())
        assert not server.requests


def test_the_same_traces_are_found_where_sending_is_allowed(tmp_path):
    with serving(well) as server:
        found = taken(run(tmp_path, {"url": server.url, "mode": "prefer_on_device"}))
        assert ITEM.tobytes() in server.received
    assert "cloud" in found["sources"]
