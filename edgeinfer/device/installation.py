"""What tells this installation apart in shares of a rollout: a random text that never leaves the device."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

from edgeinfer.host import Clock, atomic_file, locked

_KEY = re.compile(r"[0-9a-f]{32}")
_PATIENCE_S = 2.0


def installation_key(folder: Path, clock: Clock) -> str:
    """Return the key that a folder keeps, made where there is none; one for this process where it cannot be kept."""
    path, new = folder / "installation", secrets.token_hex(16)
    with suppress(OSError, UnicodeDecodeError):
        if path.exists():
            found = path.read_text(encoding="ascii").strip()
            if _KEY.fullmatch(found):
                return found
        with locked(folder / "installation.lock", clock, _PATIENCE_S):
            with suppress(FileNotFoundError):
                found = path.read_text(encoding="ascii").strip()
                if _KEY.fullmatch(found):
                    return found  # another process was faster
            with atomic_file(path) as file:
                file.write(new.encode())
    return new
