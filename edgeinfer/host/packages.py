"""What is installed beside edgeinfer, from the metadata that pip itself reads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def packages_of(extra: str) -> dict[str, str | None]:
    """Return the distributions that an extra of edgeinfer asks for, with the installed version or None."""
    from importlib import metadata  # parses with the mail package, which takes milliseconds to import

    found: dict[str, str | None] = {}
    for requirement in metadata.requires("edgeinfer") or []:
        wanted, _, marker = requirement.partition(";")
        name = re.match(_NAME, wanted)
        if name is None or f"extra == '{extra}'" not in marker.replace('"', "'"):
            continue
        if name.group() == "edgeinfer":
            for inner in re.findall(r"[\w-]+", wanted[name.end() :]):
                found |= packages_of(inner)
        else:
            found[name.group()] = _version(name.group())
    return found


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed.

    Nothing is imported, and no metadata is parsed: name and version stand in the name of the folder that an installer
    leaves (PyPA, Recording installed projects), with runs of `-`, `_` and `.` as one `_`.
    """
    wanted = {_folded(name): name for name in names}
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        try:
            entries = [entry.name for entry in os.scandir(folder or ".")]
        except OSError:
            continue
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")):
                name, _, version = entry.rpartition(".")[0].partition("-")
                known = wanted.get(_folded(name))
                if known is not None and version:
                    found.setdefault(known, version)
    return found


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _version(name: str) -> str | None:
    return versions_of([name]).get(name)
