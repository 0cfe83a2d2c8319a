"""What is installed beside edgeinfer, from the metadata that pip itself reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def packages_of(extra: str) -> dict[str, str | None]:
    """Return the distributions that an extra of edgeinfer asks for, with the installed version or None."""
    found: dict[str, str | None] = {}
    for requirement in metadata.requires("edgeinfer") or []:
        wanted, _, marker = requirement.partition(";")
        name = _NAME.match(wanted)
        if name is None or f"extra == '{extra}'" not in marker.replace('"', "'"):
            continue
        if name.group() == "edgeinfer":
            for inner in re.findall(r"[\w-]+", wanted[name.end() :]):
                found |= packages_of(inner)
        else:
            found[name.group()] = _version(name.group())
    return found


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed; nothing is imported."""
    found = {name: _version(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
