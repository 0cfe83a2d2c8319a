"""A device with a signed repository, a web server, a clock and an engine that are fakes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from signed_files import FAMILY, NOW, SignedFiles

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.host import Surroundings
from edgeinfer.testing import FakeClock, FakeEngine, FakeFileServer, ScriptedTransport, sample_manifest
from edgeinfer.testing.engine import Answer, mean_logits

ITEM = np.full((1, 1, 4, 4), 0.9, np.float32)
URL = "https://updates.example.org"


class VersionedEngine(FakeEngine):
    """A fake engine whose versions answer each in a way of their own.

    Attributes:
        answers: What a model answers whose bytes begin so, where that is not what all answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[bytes, Answer] = {}
        self.runs: list[bytes] = []

    def load(self, model, options):
        session = super().load(model, options)
        engine = self

        class Versioned:
            provider, inputs, outputs, close = (
                session.provider,
                session.inputs,
                session.outputs,
                session.close,
            )

            def run(self, inputs):
                engine.runs.append(model)
                return {"logits": engine.answer_of(model)(inputs["image"])}

        return Versioned()

    def answer_of(self, model):
        found = (answer for start, answer in self.answers.items() if model.startswith(start + b":"))
        return next(found, mean_logits)


def nan(image):
    return np.full((len(image), 2), np.nan, np.float32)


def failing(_image):
    raise RuntimeError("the engine broke")


def write_version(folder, version, model=b"model", change=None):
    """Write the sample bundle as another version, whose files begin with these bytes; return its path."""
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    variants = [replace(each, blob=blobs.add(model + b":" + each.id.encode())) for each in manifest.variants]
    manifest = replace(manifest, version=version, variants=tuple(variants))
    path = folder / f"{version}.eib"
    write_bundle(path, change(manifest) if change else manifest, blobs)
    return path


class DeviceRig:
    """A publisher and a device."""

    def __init__(self, folder, **settings) -> None:
        self.folder = folder
        self.files = SignedFiles(folder / "served")
        self.clock, self.engine = FakeClock(NOW.timestamp()), VersionedEngine()
        self.server = FakeFileServer(folder / "served")
        self.transport = ScriptedTransport(self.server, self.clock)
        self.around = Surroundings()
        self.settings = ei.DeviceSettings(
            **{"background": False, "good_answers": 3, **settings},
            load={"engine": self.engine, "measure": False},
        )
        self.bundled = write_version(folder, "1.0.0")
        self.release = 0

    def device(self, **options):
        """Open the device, as after a start."""
        given = {
            "bundled": {FAMILY: self.bundled},
            "settings": self.settings,
            "url": URL,
            "root": self.files.root,
        }
        return ei.Device(
            self.folder / "home",
            **{**given, **options},
            surroundings=lambda: self.around,
            transport=self.transport,
            clock=self.clock,
        )

    def publish(self, version, model=b"model", change=None):
        """Sign a bundle; return its digest."""
        return self.files.add_bundle(write_version(self.folder, version, model, change))

    def choose(self, digest, *, rollout="r1", **more):
        """Sign flags that choose a digest for every device."""
        self.release += 1
        flag = {
            "state": "ENABLED",
            "variants": {"new": digest},
            "defaultVariant": "new",
            "metadata": {"rollout": rollout},
        }
        document = {"flags": {f"model-{FAMILY}": flag, **more}, "metadata": {"version": str(self.release)}}
        self.files.add_flags(json.dumps(document).encode())


def answered(device, times=1):
    """Ask a device's model, and return the version that answered last."""
    model = device.model(FAMILY)
    for _ in range(times):
        answer = model.predict(ITEM)
        assert answer.label is not None
    assert answer.bundle == model.model.digest
    return model.model.manifest.version
