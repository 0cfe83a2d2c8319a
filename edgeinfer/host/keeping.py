"""What is kept in the cache folder from one start of a program to the next: bytes, and records.

Invariants:
* a file that was cut, changed, or is another key's is as good as none: its digest says so before it is looked into;
* reading a record makes plain values and edgeinfer's own frozen records, and calls nothing else, whatever is written;
* what was kept by a release whose records had other fields is as good as none;
* what cannot be written costs the time of making it again, never an answer.

Records are in pickle's form, which takes an eighth of the time that a manifest in JSON takes to become records.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

from edgeinfer.host.caches import keep_newest

_MARK = b"edgeinfer-kept-1\n"
_MOST_RECORDS = 256


def keep_bytes(folder: str, kind: str, key: str, data: bytes, most: int) -> None:
    """Keep bytes under a key.

    Args:
        folder: The cache folder.
        kind: A folder in it.
        key: All that they depend on.
        data: The bytes.
        most: Files in that folder; the oldest beyond them go.

    Raises:
        OSError: They cannot be written.
    """
    keep_newest(_file(folder, kind, key), _MARK + _digest(key, data) + data, most)


def kept_bytes(folder: str, kind: str, key: str) -> bytes | None:
    """Return the bytes that were kept under a key, or None."""
    try:
        with open(_file(folder, kind, key), "rb") as file:
            stored = file.read()
    except OSError:
        return None
    head = len(_MARK) + hashlib.sha256().digest_size
    data = stored[head:]
    return data if stored[:head] == _MARK + _digest(key, data) else None


def keep(folder: str, kind: str, key: str, value: object) -> None:
    """Keep frozen records, tuples, dicts, text, numbers or None under a key, as `keep_bytes` does."""
    keep_bytes(folder, kind, key, pickle.dumps(value, protocol=5), _MOST_RECORDS)


def kept(folder: str, kind: str, key: str) -> Any:
    """Return the value that was kept under a key, or None."""
    data = kept_bytes(folder, kind, key)
    if data is None:
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
    digest = hashlib.sha256(key.encode() + b"\0")
    digest.update(data)
    return digest.digest()
