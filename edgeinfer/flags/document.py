"""A document of flag definitions in flagd's format, as a device reads it.

Invariants:
* a document is read whole or refused; a flag in it that is malformed is read as one that fails, and fails alone;
* a reference to a shared rule is put in its place, and a circle of them is a fault of the flags that use it;
* the algorithm that shares are computed by is named in the data: a document that names another is refused.

Source: flagd, "Flag Definitions" (state, variants, defaultVariant, targeting, metadata, $evaluators).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, TypeGuard

from edgeinfer.errors import FlagError
from edgeinfer.flags.grammar import too_large
from edgeinfer.flags.percentages import ALGORITHM
from edgeinfer.flags.references import References
from edgeinfer.frozen import frozen

MOST_BYTES = 4 * 1024 * 1024
_MOST_FLAGS = 10_000
_LONGEST_S = 1e12
STATES = ("ENABLED", "DISABLED")
# What a release manager says of a flag or of all, in its metadata.
PERCENTAGES, VERSION = "percentages", "version"
MAX_STALE_S, STALE_VARIANT = "maxStaleSeconds", "staleVariant"


@frozen
class Definition:
    """One flag.

    Attributes:
        key: Its name.
        enabled: Whether it is evaluated; one that is not gives the default of whoever asks: it was killed.
        variants: Values by name.
        default_variant: The one that holds where no rule says another; None takes the default of whoever asks.
        targeting: The rule, references put in their places; None where there is none.
        metadata: Of the flag, with that of the document.
        max_stale_s: Seconds since the document was last known to be the newest, after which `stale_variant` holds.
        stale_variant: Likewise; None takes the default of whoever asks.
        fault: What is wrong with it; empty where nothing is.
    """

    key: str
    enabled: bool = True
    variants: Mapping[str, Any] = field(default_factory=dict)
    default_variant: str | None = None
    targeting: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    max_stale_s: float | None = None
    stale_variant: str | None = None
    fault: str = ""


@frozen
class Document:
    """A set of flags.

    Attributes:
        flags: By name.
        metadata: Of the set.
        version: Counts its releases; 0 where it does not say.
        digest: SHA-256 (hex) of its bytes.
        data: Its bytes.
    """

    flags: Mapping[str, Definition]
    metadata: Mapping[str, Any]
    version: int
    digest: str
    data: bytes


def read_document(data: bytes) -> Document:
    """Read a document.

    Raises:
        FlagError: It is no document of flags, too large, or says that shares are computed in another way.
    """
    parsed = parsed_document(data)
    metadata = parsed.get("metadata", {})
    if list(metadata_faults(metadata, "metadata")):
        raise FlagError("the metadata of the flags", expected="text, numbers and booleans by name")
    algorithm = metadata.get(PERCENTAGES, ALGORITHM)
    if algorithm != ALGORITHM:
        raise FlagError(
            "the flags' percentages are computed in another way",
            found=algorithm,
            expected=ALGORITHM,
            next_step="pip install -U edgeinfer",
        )
    evaluators = parsed.get("$evaluators", {})
    flags = {
        key: read_definition(key, value, metadata, evaluators if isinstance(evaluators, dict) else {})
        for key, value in parsed["flags"].items()
    }
    return Document(flags, metadata, version_of(metadata), hashlib.sha256(data).hexdigest(), data)


def parsed_document(data: bytes) -> dict[str, Any]:
    """Return a document's JSON, with an object `flags` in it.

    Raises:
        FlagError: It is none, or too large.
    """
    if len(data) > MOST_BYTES:
        raise FlagError("a document of flags", found=f"{len(data)} bytes", expected=f"{MOST_BYTES} at most")
    try:
        parsed: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FlagError("a document of flags is no JSON", found=f"{error}"[:80]) from error
    flags = parsed.get("flags") if isinstance(parsed, dict) else None
    if not isinstance(flags, dict):
        raise FlagError(
            "a document of flags",
            found=f"`flags` as {type(flags).__name__}" if isinstance(parsed, dict) else type(parsed).__name__,
            expected='an object with {"flags": {...}}',
        )
    if len(flags) > _MOST_FLAGS:
        raise FlagError("a document of flags", found=f"{len(flags)} flags", expected=f"{_MOST_FLAGS} at most")
    document: dict[str, Any] = parsed
    return document


def version_of(metadata: Mapping[str, Any]) -> int:
    """Return which release of a document this is: a whole number as text, as the schema has it, or 0."""
    text = metadata.get(VERSION, "")
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 16 else 0


def metadata_faults(metadata: object, where: str) -> Iterator[str]:
    """Yield what is wrong with metadata, each with its place."""
    if not isinstance(metadata, dict):
        yield f"{where} is no object"
        return
    for name, value in metadata.items():
        if not isinstance(value, str | int | float):
            yield f"{where}.{name} is {type(value).__name__}, expected text, a number or a boolean"


def read_definition(
    key: str, flag: object, shared: Mapping[str, Any], evaluators: Mapping[str, Any]
) -> Definition:
    """Read one flag; what is wrong with it is told in its `fault`."""
    if not isinstance(flag, dict):
        return Definition(key, metadata=shared, fault="it is no object")
    metadata, variants = flag.get("metadata", {}), flag.get("variants")
    default, targeting = flag.get("defaultVariant"), flag.get("targeting")
    if isinstance(default, bool):  # as other evaluators read it
        default = str(default).lower()
    fault = _fault(flag, default)
    if list(metadata_faults(metadata, "metadata")):
        metadata = {}
    if not fault and targeting:
        try:
            targeting = References(evaluators).resolved(targeting)
            size = too_large(targeting)
            fault = f"its targeting is {size}" if size else ""
        except (LookupError, RecursionError) as error:
            fault = f"its targeting {error}"
    limit, stale = metadata.get(MAX_STALE_S), metadata.get(STALE_VARIANT)
    return Definition(
        key=key,
        enabled=flag.get("state") != "DISABLED",
        variants=variants if isinstance(variants, dict) else {},
        default_variant=default or None,
        targeting=targeting or None,
        metadata={**shared, **metadata},
        max_stale_s=float(limit) if _is_limit(limit) else None,
        stale_variant=stale if isinstance(stale, str) else None,
        fault=fault,
    )


def _fault(flag: Mapping[str, Any], default: object) -> str:
    """Return what is wrong with a flag but for the rule itself; empty where nothing is."""
    variants, targeting, metadata = flag.get("variants"), flag.get("targeting"), flag.get("metadata", {})
    if flag.get("state") not in STATES:
        return f"its state is {flag.get('state')!r}, expected ENABLED or DISABLED"
    if not isinstance(variants, dict) or not variants:
        return "it has no variants"
    if default is not None and not isinstance(default, str):
        return "its defaultVariant is no name"
    if list(metadata_faults(metadata, "metadata")):
        return "its metadata are not text, numbers and booleans"
    if MAX_STALE_S in metadata and not _is_limit(metadata[MAX_STALE_S]):
        return f"its {MAX_STALE_S} is no number of seconds"
    return "" if targeting is None or isinstance(targeting, dict) else "its targeting is no rule"


def _is_limit(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST_S
