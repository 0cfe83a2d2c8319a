"""A predictor on the sample bundle, with a server, a network and a clock that are fakes."""

from __future__ import annotations

import numpy as np
from faulty_server import sample_server

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.errors import UnreachableError
from edgeinfer.host import Surroundings
from edgeinfer.testing import FakeClock, FakeEngine, ScriptedTransport, sample_manifest

# The device is 60% sure that it is light, the sample's threshold is 90%, and the server is sure.
UNSURE = np.full((1, 1, 4, 4), 0.1, np.float32)
SURE = np.full((1, 1, 4, 4), 0.9, np.float32)
URL = "https://cloud.example"
DOWN = UnreachableError("the cloud cannot be reached")


class Rig:
    """A predictor on the sample bundle, and what is behind it."""

    def __init__(self, folder, *, change=None, consent=("cloud_inference",), **options) -> None:
        self.clock, self.server, self.engine = FakeClock(), sample_server(), FakeEngine()
        self.transport = ScriptedTransport(self.server, self.clock)
        blobs = BlobSet()
        manifest = sample_manifest(blobs)
        write_bundle(folder / "sample.eib", change(manifest) if change else manifest, blobs)
        self.model = ei.load(folder / "sample.eib", engine=self.engine)
        self.home = ei.Home(folder / "home", clock=self.clock)
        for purpose in consent:
            ei.Consents(self.home).give(purpose)
        self.around = Surroundings()
        policy = {name: options.pop(name) for name in list(options) if name in ei.Policy.__dataclass_fields__}
        self.own = ei.Predictor(
            self.model,
            options.pop("endpoint", ei.Endpoint(URL)),
            policy=ei.Policy(**{"mode": "prefer_on_device", **policy}),
            home=self.home,
            surroundings=lambda: self.around,
            transport=self.transport,
            **options,
        )

    @property
    def inferences(self) -> int:
        return sum(each.method == "POST" for each in self.transport.requests)
