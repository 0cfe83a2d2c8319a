"""Signed releases of a repository whose files a test may change, over a web server that a test may break."""

from __future__ import annotations

from signed_files import NOW, SignedFiles

from edgeinfer.net import Response
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock, FakeFileServer, ScriptedTransport, write_sample_bundle
from edgeinfer.updates import Server, SignedReleases, SignedTimes

FLAGS = b'{"flags": {}, "metadata": {"version": "1"}}'


class Rig:
    def __init__(self, folder):
        self.folder, self.files = folder, SignedFiles(folder / "served")
        self.bundle = folder / "a.eib"
        write_sample_bundle(self.bundle)
        self.digest = self.files.add_bundle(self.bundle)
        self.files.add_flags(FLAGS)
        self.clock = FakeClock(NOW.timestamp())
        self.server = FakeFileServer(folder / "served")
        self.transport = ScriptedTransport(self.server)
        self.releases = self.reopened()

    def reopened(self):
        """As after a restart."""
        times = SignedTimes(Home(self.folder / "home", clock=self.clock))
        server = Server("https://updates.example.org", self.files.root)
        return SignedReleases(server, self.folder / "metadata", self.transport, self.clock, times)

    @property
    def flags(self):
        found = self.releases.flags()
        return None if found is None else self.releases.fetch(found)

    def answers(self, name, body, status=200):
        """Let the server answer something else for a file."""
        self.server.changes = lambda request, answer: (
            Response(status, {}, body) if request.url.endswith(name) else answer
        )
