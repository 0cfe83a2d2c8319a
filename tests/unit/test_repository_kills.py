"""A publisher that is killed at any write leaves a repository that devices can use, and the next command goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository_rig import CHANGES, SMALL, Rig, write_version
from tuf.api.exceptions import UnsignedMetadataError

from edgeinfer.errors import RepositoryError
from edgeinfer.repository import KeyChange
from edgeinfer.updates.layout import FLAGS_TARGET, manifest_target

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal, and forks")

# Runs a change again and again, each time in a copy of a state, and kills it at its first write, its second, ...
KILLER = """
import os, shutil, signal, sys
from repository_rig import CHANGES, Rig

state, turns, name = sys.argv[1:]

def kill_at(turn, folder):
    left = turn
    def hook(event, arguments):
        nonlocal left
        writes = (
            event in ("os.rename", "os.remove")
            or (event == "os.mkdir" and not os.path.exists(arguments[0]))
            or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        )
        if writes and str(arguments[0]).startswith(folder):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

turn, killed = 0, True
while killed:
    turn += 1
    folder = f"{turns}/{turn}"
    shutil.copytree(state, folder, symlinks=True)
    child = os.fork()
    if not child:
        kill_at(turn, folder)
        CHANGES[name](Rig(folder, None))
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
print(turn)
"""


def kills(state: Path, turns: Path, name: str) -> list[Rig]:
    """The states in which a change that was killed left a repository; the last one was not killed."""
    turns.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(state), str(turns), name],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Rig(turns / str(turn), None) for turn in range(1, int(done.stdout) + 1)]


def published(rig: Rig) -> str:
    """Offer what each change builds on; return the digest of the bundle."""
    rig.repository.create(SMALL)
    digest = rig.add_sample()
    rig.add_flags(1, model_vision=digest)
    write_version(rig.folder / "other.eib", "2")
    rig.client("old").refreshed()
    return digest


def usable(rig: Rig, digest: str) -> None:
    """Devices with and without a cache find a bundle and flags."""
    for cache in ("old", "new"):
        shutil.rmtree(rig.folder / "caches/now", ignore_errors=True)
        if cache == "old":
            shutil.copytree(rig.folder / "caches/old", rig.folder / "caches/now", symlinks=True)
        client = rig.client("now")
        assert client.target(FLAGS_TARGET)
        assert client.target(manifest_target("vision", digest))


def again(rig: Rig, name: str) -> None:
    """Run a change again; flags that were published before the kill are no newer any more."""
    try:
        CHANGES[name](rig)
    except RepositoryError as error:
        if "is no newer" not in str(error):
            raise


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"init", "lost"}))
def test_a_kill_at_any_write_leaves_what_devices_can_use(tmp_path, name):
    state = Rig(tmp_path / "state", None)
    digest = published(state)
    states = kills(state.folder, tmp_path / "turns", name)
    assert len(states) > 5
    for rig in states:
        usable(rig, digest)
        rig.repository.refresh()
        assert rig.repository.status().faults == ()
        again(rig, name)
        usable(rig, digest)
        told = rig.repository.status()
        assert (told.faults, told.waiting) == ((), {})
        assert not [*rig.served.rglob("*.partial"), *rig.repository.storage.staging.glob("*.partial")]


def test_a_repository_whose_making_was_killed_is_made_by_the_next_command(tmp_path):
    (tmp_path / "state").mkdir()
    for rig in kills(tmp_path / "state", tmp_path / "turns", "init"):
        try:
            rig.repository.refresh()
        except RepositoryError as error:
            if "edgeinfer repo init" not in str(error):
                raise
            rig.repository.create(SMALL)
        rig.client().refreshed()
        told = rig.repository.status()
        assert (told.faults, told.waiting) == ((), {})


def test_a_root_that_was_killed_before_its_timestamp_says_what_to_do(tmp_path):
    """Without the old keys there is a moment in which devices are refused; the next command ends it."""
    state = Rig(tmp_path / "state", None)
    digest = published(state)
    (state.keys.folder / "timestamp-1.pem").unlink()
    (state.keys.folder / "targets-1.pem").unlink()
    state.repository.rotate("timestamp", KeyChange())
    refused = 0
    for rig in kills(state.folder, tmp_path / "turns", "lost"):
        try:
            rig.client("old").refreshed()
        except UnsignedMetadataError:
            refused += 1
            assert any("edgeinfer repo refresh" in fault for fault in rig.repository.status().faults)
        CHANGES["lost"](rig)
        usable(rig, digest)
        told = rig.repository.status()
        assert (told.faults, told.waiting) == ((), {})
    assert refused == 2  # before timestamp.json is opened, and before it has its name
