"""A device that is killed, or whose disk is full, at each point where it writes; run as a program of its own.

Everything is imported once; each case runs in a forked child, so that hundreds of them take seconds.

    python tests/device_faults.py FOLDER kill|full|random|damage|together FIRST STEP COUNT
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from device_rig import ITEM, DeviceRig, nan
from signed_files import FAMILY

import edgeinfer as ei
from edgeinfer.bundle import parse_manifest
from edgeinfer.testing import FakeFileServer, ScriptedTransport
from edgeinfer.testing.engine import mean_logits
from edgeinfer.updates import SlotFile, needed_blobs

_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_STATEMENTS = ("INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE", "BEGIN", "VACUUM")
VERSIONS = ("1.0.0", "2.0.0", "3.0.0")


class Points:
    """Counts the points at which this process writes under a folder, and does something at one of them."""

    def __init__(self, folder: Path, at: int, act: Callable[[], None]) -> None:
        self.count, self._folder, self._at, self._act = 0, str(folder), at, act
        self._fsync, self._connect = os.fsync, sqlite3.connect
        os.fsync = self._synced
        sqlite3.connect = self._connected
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _WRITES or event == "sqlite3.connect":
            path = args[0]
        else:
            return
        if str(path).startswith(self._folder):
            self._reached()

    def _synced(self, handle: int) -> None:
        self._reached()
        self._fsync(handle)

    def _connected(self, *args, **options):
        connection = self._connect(*args, **options)
        connection.set_trace_callback(
            lambda statement: self._reached(silent=True) if statement.startswith(_STATEMENTS) else None
        )
        return connection

    def _reached(self, *, silent: bool = False) -> None:
        self.count += 1
        if self.count >= self._at and not (silent and self._act is no_space):
            self._act()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "changed": lambda data: bytes(each ^ 0x55 for each in data[:200]) + data[200:],
}


class Case:
    """A publisher with two releases, the second of which answers with NaN, and a device that goes through them."""

    def __init__(self, folder: Path) -> None:
        self.rig = DeviceRig(folder)
        self.served = [folder / f"served-{number}" for number in range(2)]
        for version, served in zip(VERSIONS[1:], self.served, strict=True):
            self.rig.choose(self.rig.publish(version, version.encode()), rollout=version)
            shutil.copytree(self.rig.files.folder, served)
        self.rig.engine.answers[b"3.0.0"] = wrong_after_golden
        self.sizes = self._sizes()

    def _sizes(self) -> dict[str, int]:
        """Return how many bytes a device fetches of each version."""
        found = {}
        for version in VERSIONS[1:]:
            with ei.open_bundle(self.rig.folder / f"{version}.eib") as bundle:
                blobs = needed_blobs(bundle.manifest, bundle.manifest.variants[0].id)
                found[version] = sum(each.size for each in blobs) + len(bundle.manifest_bytes)
        return found

    def device(self, served: Path) -> ei.Device:
        self.rig.transport = ScriptedTransport(FakeFileServer(served), self.rig.clock)
        return self.rig.device()

    def life(self) -> None:
        """Install, prove and revert, with a restart between."""
        for served in self.served:
            with self.device(served) as device:
                device.model(FAMILY)
                device.update()
                for _ in range(4):
                    device.model(FAMILY).predict(ITEM)
                device.update()

    def life_that_serves(self) -> None:
        """As `life`, on a disk that may be full: every call is answered, and only updates fail."""
        for served in self.served:
            with self.device(served) as device:
                model = device.model(FAMILY)
                for _ in range(2):
                    with suppress(ei.StoreError, ei.UpdateError):
                        device.update()
                    for _ in range(2):
                        assert model.predict(ITEM).label is not None

    def check(self) -> None:
        """Hold the device after its restart to what it promises, first without a network."""
        nowhere = self.rig.folder / "nowhere"
        with self.device(nowhere) as device:
            model = device.model(FAMILY)
            assert model.predict(ITEM).label is not None
            slots = SlotFile(self.rig.folder / "home/models/slots", FAMILY, self.rig.clock).read()
            named = [each.digest for each in (slots.trial, slots.current, slots.previous) if each]
            assert model.slot is None or model.model.digest in named
            assert model.model.manifest.version in VERSIONS[:2], "the last version answers with NaN"
            if slots.current is not None:
                assert model.slot is not None, "there is a version that worked"
        self._check_orphans(named)
        with self.device(self.served[1]) as device:
            device.model(FAMILY)
            device.update()
            for _ in range(4):
                assert device.model(FAMILY).predict(ITEM).label is not None
            device.update()
        self._check_orphans(None)

    def check_damaged(self) -> None:
        """Hold a device whose files were damaged to what it promises: it serves, and mends what can be fetched."""
        with self.device(self.rig.folder / "nowhere") as device:
            assert device.model(FAMILY).predict(ITEM).label is not None
            writable = not device.status().home
        with self.device(self.served[0]) as device:
            model = device.model(FAMILY)
            if writable:
                device.update()
            for _ in range(4):
                assert model.predict(ITEM).label is not None
            assert model.model.manifest.version == VERSIONS[1]

    def _check_orphans(self, named: list[str] | None) -> None:
        """What no slot names is no more than one partial download, and nothing after an update."""
        models = self.rig.folder / "home/models"
        slots = SlotFile(models / "slots", FAMILY, self.rig.clock).read()
        wanted: set[str] = set()
        for digest, variant in slots.named().items():
            data = (models / "manifests" / f"{digest}.json").read_bytes()
            wanted |= {digest, *(each.sha256 for each in needed_blobs(parse_manifest(data), variant))}
        files = [
            path
            for path in models.rglob("*")
            if path.is_file() and path.parent.name not in ("slots", "running")
        ]
        orphans = {
            str(path): path.stat().st_size for path in files if path.name.partition(".")[0] not in wanted
        }
        most = 0 if named is None else max(self.sizes.values()) + 1000
        assert sum(orphans.values()) <= most, orphans


def wrong_after_golden(image):
    """An engine's answer that is right for the golden inputs, and NaN for what the app asks."""
    return nan(image) if image.flat[0] == ITEM.flat[0] else mean_logits(image)


def forked(work: Callable[[], None], kill_after_s: float | None = None) -> str:
    """Run something in a child; return what it raised, `killed`, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 0
        try:
            work()
        except BaseException:
            os.write(writing, traceback.format_exc()[-3000:].encode())
            status = 1
        os._exit(status)
    os.close(writing)
    if kill_after_s is not None:
        threading.Event().wait(kill_after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return told or ("killed" if os.WIFSIGNALED(status) else "")


class Trials:
    """Cases one after the other, each on a home of its own.

    Attributes:
        failed: What went wrong, by case.
        killed: How many lives were ended.
        whole_s: Seconds that a life takes.
    """

    def __init__(self, folder: Path) -> None:
        self.case, self._home = Case(folder), folder / "home"
        self.failed: dict[str, str] = {}
        self.killed = 0
        self.case.life()  # imports what a life needs, once
        self.case.check()
        self._clean()
        began = time.perf_counter()
        forked(self.case.life)
        self.whole_s = time.perf_counter() - began
        self._clean()

    def points(self) -> int:
        """Return at how many points a life writes."""

        def count() -> None:
            points = Points(self._home, sys.maxsize, killed)
            self.case.life()
            raise SystemExit(points.count)

        told = forked(count)
        self._clean()
        return int(told.rpartition(":")[2])

    def killed_at(self, point: int) -> None:
        """Kill a life where it writes for the so-manieth time, and look at what is left."""

        def life() -> None:
            Points(self._home, point, killed)
            self.case.life()

        self._judge(f"killed at {point}", forked(life), "killed")

    def killed_after(self, seconds: float) -> None:
        """Kill a life at a moment, and look at what is left."""
        self._judge(f"killed after {seconds:.4f} s", forked(self.case.life, seconds), "killed")

    def full_from(self, point: int) -> None:
        """Let the disk be full from a point on: the device serves, and goes on when there is room again."""

        def life() -> None:
            Points(self._home, point, no_space)
            self.case.life_that_serves()

        self._judge(f"full from {point}", forked(life), "")

    def together(self, number: int) -> None:
        """Let several processes of one home live at once; each is served, and one after the other updates."""
        lives = [threading.Thread(target=self._told, args=(f"{number}, life {life}",)) for life in range(4)]
        for each in lives:
            each.start()
        for each in lives:
            each.join()
        self._judge(f"together {number}", "", "")

    def _told(self, name: str) -> None:
        told = forked(self.case.life_that_serves)
        if told:
            self.failed[name] = told

    def damage(self, number: int) -> None:
        """Damage one of the files that a device keeps, in one of three ways."""
        self._settle()
        path = self._kept()[number // len(_DAMAGES)]
        how = list(_DAMAGES)[number % len(_DAMAGES)]
        path.write_bytes(_DAMAGES[how](path.read_bytes()))
        left = forked(self.case.check_damaged)
        if left:
            self.failed[f"{path.relative_to(self._home)} {how}"] = left
        self._clean()

    def damages(self) -> int:
        """Return how many files a device keeps, times the ways to damage one."""
        self._settle()
        count = len(self._kept()) * len(_DAMAGES)
        self._clean()
        return count

    def _settle(self) -> None:
        """Let the device run the first release."""
        with self.case.device(self.case.served[0]) as device:
            device.model(FAMILY)
            device.update()
            for _ in range(4):
                device.model(FAMILY).predict(ITEM)

    def _kept(self) -> list[Path]:
        return sorted(path for path in self._home.rglob("*") if path.is_file() and not path.is_symlink())

    def _judge(self, name: str, told: str, expected: str) -> None:
        self.killed += told == "killed"
        if told not in (expected, ""):
            self.failed[name] = told
        else:
            left = forked(self.case.check)
            if left:
                self.failed[name] = left
        self._clean()

    def _clean(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)


def main(folder: str, what: str, begin: str, step: str, count: str) -> None:
    """Run cases of one kind and print, as JSON, how many there were and which failed."""
    trials, done = Trials(Path(folder)), 0
    draw = random.Random(int(begin))
    act: Callable[[int], None] = {
        "kill": trials.killed_at,
        "full": trials.full_from,
        "damage": trials.damage,
        "together": trials.together,
        "random": lambda _: trials.killed_after(draw.uniform(0, trials.whole_s)),
    }[what]
    last = int(count) or (trials.damages() - 1 if what == "damage" else trials.points())
    for number in range(int(begin), last + 1, int(step)):
        act(number)
        done += 1
    sys.stdout.write(json.dumps({"done": done, "killed": trials.killed, "failed": trials.failed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
