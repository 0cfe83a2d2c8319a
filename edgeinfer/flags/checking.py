"""What is wrong with a document of flags, for those who write it: stricter than what a device refuses.

It follows flagd's published schema of flag definitions, and looks beyond it at names that lead nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeinfer.errors import FlagError
from edgeinfer.flags.document import STATES, metadata_faults, parsed_document, read_definition, read_document
from edgeinfer.flags.grammar import faults


def document_faults(data: bytes) -> list[str]:
    """Return all that is wrong with a document, for those who write it: stricter than what a device refuses."""
    try:
        parsed = parsed_document(data)
        read_document(data)
    except FlagError as error:
        return [str(error)]
    found: list[str] = []
    evaluators = parsed.get("$evaluators", {})
    if not isinstance(evaluators, dict):
        return ["$evaluators is no object"]
    for name, rule in evaluators.items():
        found += faults(rule, f"$evaluators.{name}")
    for key, flag in parsed["flags"].items():
        own = list(flag_faults(flag, f"flags.{key}"))
        if not own:
            fault = read_definition(key, flag, {}, evaluators).fault
            own = [f"flags.{key}: {fault}"] if fault else []
        found += own
    return found


def flag_faults(flag: object, where: str) -> Iterator[str]:
    """Yield what is wrong with one flag, each with its place."""
    if not isinstance(flag, dict):
        yield f"{where} is no object"
        return
    if flag.get("state") not in STATES:
        yield f"{where}.state is {flag.get('state')!r}, expected ENABLED or DISABLED"
    variants = flag.get("variants")
    if not isinstance(variants, dict) or not variants or "" in variants:
        yield f"{where}.variants: expected one value or more, by name"
    elif (
        len({_kind(each) for each in variants.values()}) != 1 or _kind(next(iter(variants.values()))) is None
    ):
        yield f"{where}.variants: expected values of one kind: booleans, numbers, texts or objects"
    default = flag.get("defaultVariant")
    if default is not None and not isinstance(default, str):
        yield f"{where}.defaultVariant is {default!r}, expected a name or null"
    elif default and isinstance(variants, dict) and default not in variants:
        yield f"{where}.defaultVariant is {default!r}, expected one of {', '.join(variants)}"
    if "targeting" in flag:
        yield from faults(flag["targeting"], f"{where}.targeting")
    yield from metadata_faults(flag.get("metadata", {}), f"{where}.metadata")


def _kind(value: object) -> str | None:
    """Return the kind of a variant's value, or None for what no flag gives."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, dict) else None
