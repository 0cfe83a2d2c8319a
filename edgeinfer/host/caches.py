"""Where this user's caches are, and files in them that are bounded in number."""

from __future__ import annotations

import os
import sys

VARIABLE = "EDGEINFER_CACHE"


def cache_folder() -> str:
    """Return the folder for what can be made again; it need not exist.

    The variable `EDGEINFER_CACHE`, else the platform's place: `$XDG_CACHE_HOME` or `~/.cache` (XDG Base Directory
    Specification), `~/Library/Caches`, `%LOCALAPPDATA%`; in it, `edgeinfer`.
    """
    told = os.environ.get(VARIABLE)
    if told:
        return told
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library/Caches")
    else:
        given = os.environ.get("XDG_CACHE_HOME", "")
        base = given if given.startswith("/") else os.path.join(home, ".cache")
    return os.path.join(base, "edgeinfer")


def keep_newest(path: str, data: bytes, most: int) -> None:
    """Write a file, whole or not at all, and remove the oldest of its ending in its folder beyond a number.

    Raises:
        OSError: It cannot be written.
    """
    from pathlib import Path

    from edgeinfer.host.files import atomic_file

    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(place) as file:
        file.write(data)
    for each in sorted(place.parent.glob(f"*{place.suffix}"), key=_written)[:-most]:
        each.unlink(missing_ok=True)


def _written(path: os.PathLike[str]) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:  # another process was faster
        return 0.0
