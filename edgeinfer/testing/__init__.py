"""Fakes and samples for tests of programs that use edgeinfer, and for edgeinfer's own.

Nothing here needs an inference engine: `FakeEngine` answers for the bundle that `write_sample_bundle`
writes, `FakeDetector` for that of `write_sample_detector`, and `DAMAGES` breaks a bundle in every way that
a reader must notice. `FakeV2Server` answers in the cloud's place through a `ScriptedTransport`, without a network,
`FakeFileServer` in that of a web server with signed updates, and `FakeClock` lets hours pass at once.
"""

from edgeinfer.testing.clock import FakeClock
from edgeinfer.testing.damage import DAMAGES, damage
from edgeinfer.testing.detector import SAMPLE_THINGS, FakeDetector, sample_detector, write_sample_detector
from edgeinfer.testing.engine import FakeEngine
from edgeinfer.testing.file_server import FakeFileServer
from edgeinfer.testing.samples import SAMPLE_LABELS, sample_manifest, write_sample_bundle
from edgeinfer.testing.transport import FakeV2Server, ScriptedTransport

__all__ = [
    "DAMAGES",
    "SAMPLE_LABELS",
    "SAMPLE_THINGS",
    "FakeClock",
    "FakeDetector",
    "FakeEngine",
    "FakeFileServer",
    "FakeV2Server",
    "ScriptedTransport",
    "damage",
    "sample_detector",
    "sample_manifest",
    "write_sample_bundle",
    "write_sample_detector",
]
