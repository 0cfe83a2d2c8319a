"""Which variant and engine run: the manifest's order, narrowed by the caller's wishes and by what is here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.bundle import Manifest, Variant
from edgeinfer.engines import Engine, EngineInfo
from edgeinfer.errors import EngineUnavailable, NoVariantError

_ASKED = "was asked for"


@dataclass(frozen=True)
class Wishes:
    """What the caller insists on; None leaves it open.

    Attributes:
        variant: Variant id.
        precision: Precision of the manifest.
    """

    variant: str | None = None
    precision: str | None = None

    def __str__(self) -> str:
        """What is insisted on, for people; empty when nothing is."""
        return ", ".join(f"{name} {wish}" for name, wish in vars(self).items() if wish is not None)


@dataclass(frozen=True)
class Candidate:
    """One variant on one engine.

    Attributes:
        variant: Variant id.
        engine: Engine name.
        runtime: Engine package and version, or None where it is not installed.
        rejected: Why it cannot run, did not, or was not tried; None for the one that runs.
    """

    variant: str
    engine: str
    runtime: str | None
    rejected: str | None


@dataclass(frozen=True)
class Selection:
    """Every candidate in order of preference, and the one that runs.

    Attributes:
        candidates: All of them, on the engines that were permitted.
        chosen: The one that runs.
        reason: Why it was chosen.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    reason: str


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
                runtime = f"{state.package} {state.version}" if isinstance(state, EngineInfo) else None
                rejected = _rejection(variant, state, wishes)
                found.append(Candidate(variant.id, engine.name, runtime, rejected))
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


def _rejection(variant: Variant, state: EngineInfo | EngineUnavailable, wishes: Wishes) -> str | None:
    wished = (("variant", wishes.variant, variant.id), ("precision", wishes.precision, variant.precision))
    for kind, wish, own in wished:
        if wish not in (None, own):
            return f"{kind} {wish} {_ASKED}"
    if isinstance(state, EngineUnavailable):
        return str(state)
    return _runtime_rejection(variant, state)


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
