"""Which variants and engines could run: all of the manifest's, narrowed by the caller's wishes and by what is here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeinfer.bundle import Manifest, Variant
from edgeinfer.engines import Engine, EngineInfo
from edgeinfer.errors import EngineUnavailable, NoVariantError
from edgeinfer.frozen import frozen

_ASKED = "was asked for"


@frozen
class Wishes:
    """What the caller insists on; None leaves it open.

    Attributes:
        variant: Variant id.
        precision: Precision of the manifest.
        provider: What to compute on: the beginning of one of the engine's accelerators in any case, `cuda` for
            `CUDAExecutionProvider`. Left open, each engine takes its first, the CPU.
        max_memory_bytes: Growth of resident memory that is still good, by the manifest's figures.
        avoid: Variants, engines, precisions or providers that must not be chosen.
    """

    variant: str | None = None
    precision: str | None = None
    provider: str | None = None
    max_memory_bytes: int | None = None
    avoid: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What is insisted on, for people; empty when nothing is."""
        told = [
            f"{name.replace('_', ' ')} {wish if isinstance(wish, str | int) else ', '.join(wish)}"
            for name, wish in vars(self).items()
            if wish
        ]
        return ", ".join(told)


@frozen
class Candidate:
    """One variant on one engine.

    Attributes:
        variant: Variant id.
        engine: Engine name.
        runtime: Engine package and version, or None where it is not installed.
        rejected: Why it cannot run, did not, or was not taken; None for the one that runs.
        provider: What the engine was told to compute on.
        placement: What it really computes on, by the engine's own account; None for one that was not loaded.
        p50_us: Time of one run here in microseconds, batch 1, or None where it was not measured.
    """

    variant: str
    engine: str
    runtime: str | None
    rejected: str | None
    provider: str | None = None
    placement: str | None = None
    p50_us: float | None = None


@frozen
class Selection:
    """Every candidate in order of preference, and the one that runs.

    Attributes:
        candidates: All of them, on the engines that were permitted.
        chosen: The one that runs.
        reason: Why it was chosen.
        cached: Whether the figures are of an earlier load on this device.
        batch_gain: Time of an item in a batch over that of one alone, or None where the batch is fixed or
            nothing was measured.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    reason: str
    cached: bool = False
    batch_gain: float | None = None


def candidates(manifest: Manifest, engines: Sequence[Engine], wishes: Wishes) -> list[Candidate]:
    """Return every variant on every engine that runs its format, each with its reason for rejection, if any.

    Raises:
        NoVariantError: The wishes name a variant or precision that the bundle does not have.
    """
    _check_wishes(manifest, wishes)
    installed = [_installed(engine) for engine in engines]
    found = []
    for variant in manifest.variants:
        for engine, state in zip(engines, installed, strict=True):
            if variant.format in engine.formats:
                found.append(_candidate(variant, engine.name, state, wishes))
    return found


def none_left(bundle: str, found: Sequence[Candidate]) -> NoVariantError:
    """Return the error that lists why each candidate was rejected."""
    reasons = "; ".join(f"{each.variant} on {each.engine}: {each.rejected}" for each in found)
    wishes_alone = all((each.rejected or "").endswith(_ASKED) for each in found)
    return NoVariantError(
        f"no variant of {bundle} runs here ({reasons or 'no engine for its formats'})",
        next_step="what was asked for excludes all: ask for less"
        if found and wishes_alone
        else "`edgeinfer doctor` shows what is installed and how to get the rest",
    )


def _installed(engine: Engine) -> EngineInfo | EngineUnavailable:
    try:
        return engine.info()
    except EngineUnavailable as error:
        return error


def _check_wishes(manifest: Manifest, wishes: Wishes) -> None:
    ids = [variant.id for variant in manifest.variants]
    if wishes.variant is not None and wishes.variant not in ids:
        raise NoVariantError(
            f"{manifest.name} has no such variant", found=repr(wishes.variant), expected=" or ".join(ids)
        )
    precisions = sorted({variant.precision for variant in manifest.variants})
    if wishes.precision is not None and wishes.precision not in precisions:
        raise NoVariantError(
            f"{manifest.name} has no variant of this precision",
            found=repr(wishes.precision),
            expected=" or ".join(precisions),
        )


def _candidate(
    variant: Variant, engine: str, state: EngineInfo | EngineUnavailable, wishes: Wishes
) -> Candidate:
    if isinstance(state, EngineUnavailable):
        return Candidate(variant.id, engine, None, _asked(variant, wishes) or str(state))
    provider = next((each for each in state.accelerators if _is(each, wishes.provider)), None)
    rejected = (
        _asked(variant, wishes)
        or _avoided(wishes, (variant.id, engine, variant.precision), provider)
        or _without(provider, state, wishes)
        or _too_large(variant, wishes)
        or _runtime_rejection(variant, state)
    )
    return Candidate(variant.id, engine, f"{state.package} {state.version}", rejected, provider)


def _is(accelerator: str, wish: str | None) -> bool:
    return wish is None or accelerator.lower().startswith(wish.lower())


def _asked(variant: Variant, wishes: Wishes) -> str | None:
    for kind, wish, own in (
        ("variant", wishes.variant, variant.id),
        ("precision", wishes.precision, variant.precision),
    ):
        if wish not in (None, own):
            return f"{kind} {wish} {_ASKED}"
    return None


def _avoided(wishes: Wishes, names: tuple[str, ...], provider: str | None) -> str | None:
    for each in wishes.avoid:
        if each in names or (provider is not None and _is(provider, each)):
            return f"{each} is to be avoided"
    return None


def _without(provider: str | None, state: EngineInfo, wishes: Wishes) -> str | None:
    if provider is not None:
        return None
    return f"{state.package} {state.version} here computes on {', '.join(state.accelerators)}, not on {wishes.provider}"


def _too_large(variant: Variant, wishes: Wishes) -> str | None:
    needed = variant.memory_bytes or variant.blob.size
    if wishes.max_memory_bytes is None or needed <= wishes.max_memory_bytes:
        return None
    return f"takes about {needed:,} bytes of memory, allowed are {wishes.max_memory_bytes:,}"


def _runtime_rejection(variant: Variant, state: EngineInfo) -> str | None:
    needed = variant.requires.get(state.package)
    if needed is None:
        return f"the variant was not made for {state.package}, but for {', '.join(variant.requires)}"
    if _version(state.version) >= _version(needed):
        return None
    older = f", or ship a variant below opset {variant.opset}" if variant.opset else ""
    upgrade = f"pip install -U {state.package}{older}"
    return f"needs {state.package} >= {needed}, found {state.version}: {upgrade}"


def _version(text: str) -> tuple[int, ...]:
    """Return the release numbers of a version, ignoring what follows them (`1.20.0rc1` is `1.20.0`)."""
    match = re.match(r"\d+(\.\d+)*", text)
    numbers = [int(number) for number in match.group().split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
