"""Bytes from a path, bounded, whatever stands at it."""

from __future__ import annotations

import os
import stat

from edgeinfer.errors import DecodeError


def read_file(source: str | os.PathLike[str], what: str, max_bytes: int) -> bytes:
    """Read a whole file; a pipe or device could block or never end.

    Args:
        source: Path.
        what: What it should be, for the message: `picture`.
        max_bytes: Size above which it is refused.

    Raises:
        DecodeError: It is not there, no file, cannot be read, or is too large.
    """
    path = os.fspath(source)
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a pipe or device"
            raise DecodeError(f"{path!r} is no {what}", found=kind, expected="a file")
        if state.st_size > max_bytes:
            raise DecodeError(f"{path!r} is too large", found=f"{state.st_size} bytes", expected=max_bytes)
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or half of a surrogate pair
        reason = getattr(error, "strerror", None) or error
        raise DecodeError(f"cannot read {path!r} ({reason})", next_step="check the path") from error
