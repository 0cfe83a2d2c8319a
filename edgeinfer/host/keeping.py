"""Records kept in the cache folder from one start of a program to the next.

Invariants:
* a file that was cut, changed, or is another key's is as good as none: its digest says so before it is looked into;
* reading one makes plain values and edgeinfer's own frozen records, and calls nothing else, whatever is written there;
* what was kept by a release whose records had other fields is as good as none;
* what cannot be written costs the time of making it again, never an answer.

The form is pickle's, since it is read in a tenth of the time that JSON takes to become records.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

from edgeinfer.host.caches import keep_newest

_MARK = b"edgeinfer-kept-1\n"
_MOST_FILES = 256


def keep(folder: str, kind: str, key: str, value: object) -> None:
    """Keep a value under a key.

    Args:
        folder: The cache folder.
        kind: A folder in it.
        key: All that the value depends on.
        value: Frozen records, tuples, dicts, text, numbers, None.

    Raises:
        OSError: It cannot be written.
    """
    data = pickle.dumps(value, protocol=5)
    keep_newest(_file(folder, kind, key), _MARK + _digest(key, data) + data, _MOST_FILES)


def kept(folder: str, kind: str, key: str) -> Any:
    """Return what was kept under a key, or None."""
    try:
        with open(_file(folder, kind, key), "rb") as file:
            stored = file.read()
    except OSError:
        return None
    head = len(_MARK) + 32
    data = stored[head:]
    if stored[:head] != _MARK + _digest(key, data):
        return None
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception:  # the documentation of pickle promises no fewer types
        return None


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a frozen record of edgeinfer's, and nothing that could do anything."""
        if module.startswith("edgeinfer."):
            found = super().find_class(module, name)
            if isinstance(found, type) and "__dataclass_fields__" in vars(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no record")


def _file(folder: str, kind: str, key: str) -> str:
    return f"{folder}/{kind}/{hashlib.sha256(key.encode()).hexdigest()[:32]}.kept"


def _digest(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + data).digest()
