"""Where documents of flags come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from edgeinfer.errors import FlagError
from edgeinfer.flags.document import MOST_BYTES


class Source(Protocol):
    """Gives a document of flags."""

    def fetch(self) -> bytes:
        """Return the newest document.

        Raises:
            EdgeInferError: It cannot be had now, or must not be trusted.
        """
        ...


class FileSource:
    """A file, for one device, or for trying flags out.

    Args:
        path: In flagd's format, as JSON.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def fetch(self) -> bytes:
        """Return the file's bytes.

        Raises:
            FlagError: It cannot be read, or is too large.
        """
        try:
            with self._path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except OSError as error:
            raise FlagError(
                f"flags {self._path} cannot be read ({error.strerror or error})",
                next_step="check the path",
            ) from error
