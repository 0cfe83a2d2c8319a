"""Where a document of flags lies that is to be changed: in a file, or published in a signed repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click

from edgeinfer.errors import FlagError
from edgeinfer.flags import FileSource, differences, document_faults
from edgeinfer.host import SystemClock, atomic_file

PASSPHRASE = "EDGEINFER_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
Parsed = dict[str, Any]


class Place(Protocol):
    """Holds a document."""

    def read(self) -> bytes:
        """Return its bytes."""

    def write(self, data: bytes) -> None:
        """Put others in their place."""


class InFile:
    """A document in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes:
        """Return the file's bytes."""
        return FileSource(self._path).fetch()

    def write(self, data: bytes) -> None:
        """Replace the file as a whole."""
        with atomic_file(Path(os.path.realpath(self._path))) as target:
            target.write(data)


class Published:
    """The document that a signed repository has: what is written is signed by the key of the flags, and holds."""

    def __init__(self, folder: Path, keys: Path) -> None:
        from edgeinfer.repository import Keys, SignedRepository

        kept = Keys(keys, os.environ.get(PASSPHRASE, ""))
        self._repository = SignedRepository(folder, kept, SystemClock())

    def read(self) -> bytes:
        """Return what is published."""
        data = self._repository.flags()
        if data is None:
            raise FlagError(
                "no flags are published yet", next_step="edgeinfer repo add --flags FILE publishes the first"
            )
        return data

    def write(self, data: bytes) -> None:
        """Sign and publish a document."""
        for role, version in self._repository.add_flags(data).published.items():
            click.echo(f"published: {role} {version}")


def edit(place: Place, change: Callable[[Parsed], Parsed]) -> None:
    """Change a document, and show what is other.

    Raises:
        FlagError: The document has faults, which are to be mended first, or the change makes no sense.
    """
    data = place.read()
    faults = document_faults(data)
    if faults:
        raise FlagError(faults[0], next_step="edgeinfer flags check tells all")
    old: Parsed = json.loads(data)
    new = change(old)
    for line in differences(old, new):
        click.echo(line)
    place.write((json.dumps(new, indent=2, ensure_ascii=False) + "\n").encode())
