"""Where this user's caches are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
