"""Fakes and samples for tests of programs that use edgeinfer, and for edgeinfer's own.

Nothing here needs an inference engine: `FakeEngine` answers for the bundle that `write_sample_bundle`
writes, `FakeDetector` for that of `write_sample_detector`, and `DAMAGES` breaks a bundle in every way that
a reader must notice.
"""

from edgeinfer.testing.damage import DAMAGES, damage
from edgeinfer.testing.detector import SAMPLE_THINGS, FakeDetector, sample_detector, write_sample_detector
from edgeinfer.testing.engine import FakeEngine
from edgeinfer.testing.samples import SAMPLE_LABELS, sample_manifest, write_sample_bundle

__all__ = [
    "DAMAGES",
    "SAMPLE_LABELS",
    "SAMPLE_THINGS",
    "FakeDetector",
    "FakeEngine",
    "damage",
    "sample_detector",
    "sample_manifest",
    "write_sample_bundle",
    "write_sample_detector",
]
