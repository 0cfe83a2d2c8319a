"""From a variant in a bundle to one that answers: read, loaded, bound, self-tested."""

from __future__ import annotations

from edgeinfer.bundle import Bundle
from edgeinfer.engines import Engine, SessionOptions
from edgeinfer.errors import EdgeInferError, ModelLoadError
from edgeinfer.inference.bound import BoundVariant


def activate(
    bundle: Bundle, variant_id: str, engine: Engine, options: SessionOptions, *, self_test: bool = True
) -> BoundVariant:
    """Load a variant on an engine; nothing of it stays loaded when this raises.

    Args:
        bundle: Where the model file and the golden inputs are.
        variant_id: Id of a variant of the bundle.
        engine: What runs it.
        options: How.
        self_test: Hold its answers to the golden inputs against the golden outputs.

    Raises:
        BundleError: A blob cannot be read or is not the one that the manifest names.
        EngineError: The engine is missing, refuses the file, or fails while running.
        SelfTestError: It does not reproduce the golden outputs here.
    """
    variant = next(each for each in bundle.manifest.variants if each.id == variant_id)
    model = bundle.read(variant.blob)
    try:
        session = engine.load(model, options)
    except EdgeInferError:
        raise
    except Exception as error:  # an engine of the caller's own may raise anything
        raise ModelLoadError(f"engine {engine.name} cannot load the model ({error!r})") from error
    try:
        bound = BoundVariant(variant, bundle.manifest, session)
        if self_test:
            from edgeinfer.inference.golden import run_golden  # what was tested before does without

            run_golden(bundle, bound, engine.name)
    except BaseException:
        session.close()
        raise
    return bound
