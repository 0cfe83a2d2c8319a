"""Every variant on every engine that runs it here, against its golden outputs."""

from __future__ import annotations

from collections.abc import Iterator

from edgeinfer.bundle import Bundle
from edgeinfer.engines import ENGINE_NAMES, SessionOptions, engine_named
from edgeinfer.errors import EngineError, SelfTestError
from edgeinfer.frozen import frozen
from edgeinfer.inference.activate import activate
from edgeinfer.inference.selection import Wishes, candidates


@frozen
class SelfTest:
    """One variant on one engine.

    Attributes:
        variant: Variant id.
        engine: Engine name.
        runtime: Engine package and version, or None where it is not installed.
        cases: Golden inputs that were reproduced.
        skipped: Why it cannot run here, or None.
        failed: What is wrong, or None.
    """

    variant: str
    engine: str
    runtime: str | None
    cases: int = 0
    skipped: str | None = None
    failed: str | None = None


def self_test_variants(bundle: Bundle) -> Iterator[SelfTest]:
    """Yield the result for every variant and engine.

    Raises:
        BundleError: A blob cannot be read or is not the one that the manifest names.
    """
    # A variant without golden outputs is only loaded, and must not count as compared.
    cases = {
        variant.id: next((tensor.shape[0] for tensor in variant.golden_outputs.values()), 0)
        for variant in bundle.manifest.variants
    }
    engines = [engine_named(name) for name in ENGINE_NAMES]
    for each in candidates(bundle.manifest, engines, Wishes()):
        if each.rejected:
            yield SelfTest(each.variant, each.engine, each.runtime, skipped=each.rejected)
            continue
        try:
            activate(bundle, each.variant, engine_named(each.engine), SessionOptions()).session.close()
        except (EngineError, SelfTestError) as error:
            yield SelfTest(each.variant, each.engine, each.runtime, failed=str(error))
        else:
            yield SelfTest(each.variant, each.engine, each.runtime, cases[each.variant])
