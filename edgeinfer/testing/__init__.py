"""Fakes and samples for tests of programs that use edgeinfer, and for edgeinfer's own.

Nothing here needs an inference engine: `FakeEngine` answers for the bundle that `write_sample_bundle`
writes, and `DAMAGES` breaks a bundle in every way that a reader must notice.
"""

from edgeinfer.testing.damage import DAMAGES, damage
from edgeinfer.testing.engine import FakeEngine
from edgeinfer.testing.samples import SAMPLE_LABELS, sample_manifest, write_sample_bundle

__all__ = ["DAMAGES", "SAMPLE_LABELS", "FakeEngine", "damage", "sample_manifest", "write_sample_bundle"]
