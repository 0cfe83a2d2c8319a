"""Which variant of a bundle a device will run, told from the manifest alone: before a byte of a model is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeinfer.bundle import Manifest
from edgeinfer.engines import Engine
from edgeinfer.errors import NoVariantError, RequirementError
from edgeinfer.inference import Wishes, candidates


def fitting_variant(
    manifest: Manifest,
    engines: Sequence[Engine],
    wishes: Wishes,
    available_bytes: int | None = None,
    like: tuple[str, str] | None = None,
) -> str:
    """Return the id of the variant to fetch.

    What answers now was measured to be the fastest here, so that the same format and precision is taken where it is
    there; else the first in the manifest's order that can run.

    Args:
        manifest: The bundle's.
        engines: Those that may be used.
        wishes: The app's.
        available_bytes: Memory that is free; None where the platform does not tell.
        like: Format and precision of the variant that answers now, if one does.

    Raises:
        RequirementError: None can run here.
    """
    limits = [each for each in (wishes.max_memory_bytes, available_bytes) if each is not None]
    try:
        found = candidates(manifest, engines, replace(wishes, max_memory_bytes=min(limits, default=None)))
    except NoVariantError as error:
        raise RequirementError(
            f"{manifest.name} {manifest.version} is not for this device ({error})"
        ) from error
    usable = {each.variant for each in found if each.rejected is None}
    variants = [each for each in manifest.variants if each.id in usable]
    if not variants:
        reasons = "; ".join(f"{each.variant} on {each.engine}: {each.rejected}" for each in found)
        raise RequirementError(
            f"{manifest.name} {manifest.version} is not for this device",
            found=reasons or "no engine for its formats",
            next_step="update the app's runtime, or sign a bundle with a variant for it",
        )
    alike = [each for each in variants if (each.format, each.precision) == like]
    return (alike or variants)[0].id
