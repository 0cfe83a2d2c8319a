"""Where this user's caches are, and files in them that are bounded in number."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgeinfer.host.files import atomic_file

VARIABLE = "EDGEINFER_CACHE"


def cache_folder() -> Path:
    """Return the folder for what can be made again; it need not exist.

    The variable `EDGEINFER_CACHE`, else the platform's place: `$XDG_CACHE_HOME` or `~/.cache` (XDG Base Directory
    Specification), `~/Library/Caches`, `%LOCALAPPDATA%`; in it, `edgeinfer`.
    """
    told = os.environ.get(VARIABLE)
    if told:
        return Path(told)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        given = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "edgeinfer"


def keep_newest(path: Path, data: bytes, most: int) -> None:
    """Write a file, whole or not at all, and remove the oldest of its ending in its folder beyond a number.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(data)
    for each in sorted(path.parent.glob(f"*{path.suffix}"), key=_written)[:-most]:
        each.unlink(missing_ok=True)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process was faster
        return 0.0
