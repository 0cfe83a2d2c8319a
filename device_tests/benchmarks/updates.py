"""Signed updates over loopback: a check with nothing new, and a bundle of 2 MB from the first request to its slot."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, Skipped, spread
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.host import SystemClock
from edgeinfer.net import HttpTransport, Request
from edgeinfer.repository import Keys, Plan, Quorum, SignedRepository
from edgeinfer.testing import FakeEngine, sample_manifest

_FAMILY, _BYTES, _ROUNDS, _CHECKS = "vision", 2 * 1024 * 1024, 15, 50


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Yield the two rows."""
    publisher = _Publisher(folder)
    with _served(folder / "repository") as url:
        transport = _Counting()
        settings = ei.DeviceSettings(background=False, load={"engine": FakeEngine(), "measure": False})
        root = folder / "repository" / "metadata" / "1.root.json"
        bundled = {_FAMILY: publisher.bundle("0.0.0", 1000)}
        with ei.Device(folder / "home", url, root, bundled, settings=settings, transport=transport) as device:
            device.update()
            yield _nothing_new(device, transport)
            yield _installed(device, publisher, url)


def _nothing_new(device: ei.Device, transport: _Counting) -> Row:
    times, before = [], (transport.requests, transport.body_bytes)
    for _ in range(_CHECKS):
        start = time.perf_counter()
        device.update()
        times.append((time.perf_counter() - start) * 1e3)
    requests = (transport.requests - before[0]) / _CHECKS
    bodies = (transport.body_bytes - before[1]) / _CHECKS
    low, _, high = statistics.quantiles(times, n=4)
    note = f"{requests:g} requests, {statistics.median(times):.1f} ms ({low:.1f} to {high:.1f})"
    what = "update check with nothing new, bytes of bodies"
    return Row(
        what, f"{bodies:.0f} bytes", "", bodies / 1024, bodies / 1024, bodies / 1024, "kB", 2, note=note
    )


def _installed(device: ei.Device, publisher: _Publisher, url: str) -> Row:
    times, others = [], []
    for number in range(_ROUNDS):
        blob = publisher.publish(f"1.{number}.0")
        start = time.perf_counter()
        report = device.update()
        times.append((time.perf_counter() - start) * 1e3)
        assert report.on_trial, report
        start = time.perf_counter()
        with urllib.request.urlopen(f"{url}/blobs/sha256/{blob}") as answer:
            assert hashlib.sha256(answer.read()).hexdigest() == blob
        others.append((time.perf_counter() - start) * 1e3)
    figure, low, high = spread(times)
    what = "2 MB installed over loopback (other: a bare download)"
    return Row(what, f"{figure:.0f} ms", f"{statistics.median(others):.0f} ms", figure, low, high, "ms", 150)


class _Publisher:
    """Signs bundles with one key a role, and flags that choose the newest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._repository = SignedRepository(folder / "repository", Keys(folder / "keys"), SystemClock())
        one = Quorum(1, 1)
        self._repository.create(Plan(root=one, targets=one, families={_FAMILY: one}))
        self._release = 0

    def publish(self, version: str) -> str:
        """Offer a bundle to all devices; return the digest of its model file."""
        path = self.bundle(version, _BYTES)
        self._repository.add_bundle(path, _FAMILY)
        with ei.open_bundle(path) as bundle:
            digest, blob = bundle.digest, bundle.manifest.variants[0].blob.sha256
        self._release += 1
        flag = {"state": "ENABLED", "variants": {"new": digest}, "defaultVariant": "new"}
        document = {"flags": {f"model-{_FAMILY}": flag}, "metadata": {"version": str(self._release)}}
        self._repository.add_flags(json.dumps(document).encode())
        return blob

    def bundle(self, version: str, size: int) -> Path:
        """Write a bundle whose first variant has so many bytes."""
        blobs = BlobSet()
        manifest = sample_manifest(blobs)
        first, *rest = manifest.variants
        first = replace(first, blob=blobs.add(os.urandom(size)))
        path = self._folder / f"{version}.eib"
        write_bundle(path, replace(manifest, version=version, variants=(first, *rest)), blobs)
        return path


class _Counting(HttpTransport):
    """Counts requests and the bytes of their bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = self.body_bytes = 0

    def begin(self, request: Request, timeout_s: float):  # type: ignore[no-untyped-def]
        self.requests += 1
        future = super().begin(request, timeout_s)
        future.add_done_callback(self._count)
        return future

    def _count(self, future) -> None:  # type: ignore[no-untyped-def]
        if not future.cancelled() and future.exception() is None:
            self.body_bytes += len(future.result().body)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback by a process of its own."""
    program = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "-d", str(folder), "0"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().split(" port ")[1].split()[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
