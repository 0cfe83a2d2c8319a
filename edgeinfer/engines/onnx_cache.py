"""What ONNX Runtime made of a model file, kept so that the next start need not make it again.

Invariants:
* a kept file is used only for the model, the release and the processor that it was made for;
* its digest is checked before the runtime sees a byte: one that was cut or changed is as good as none;
* what cannot be kept costs the time of making it again, never an answer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edgeinfer.host import keep_bytes, kept_bytes, processor

_KIND = "onnx"
# Above this optimizing takes a small part of a start, and a second copy on the disk is a large one.
_MOST_BYTES = 64 * 2**20
_MOST_FILES = 64


def kept_session(folder: str, model: bytes, how: str, make: Callable[[bytes, str | None, bool], Any]) -> Any:
    """Return a session of an optimized model, kept or made now.

    Args:
        folder: Where to keep it.
        model: The model file.
        how: The release and the settings on which the result depends.
        make: Makes a session of a model's bytes; writes it, optimized, to a path; and is told whether the bytes are
            optimized already.

    Raises:
        Exception: As `make` does for the model file.
    """
    if len(model) > _MOST_BYTES:
        return make(model, None, False)
    key = f"{how} {processor()} {hashlib.sha256(model).hexdigest()}"
    kept = kept_bytes(folder, _KIND, key)
    if kept is not None:
        with suppress(Exception):  # of a build of the same version that knows other operators: made anew
            return make(kept, None, True)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as scratch:
        written = os.path.join(scratch, "optimized.onnx")
        try:
            session = make(model, written, False)
            with open(written, "rb") as file:
                data = file.read()
        except Exception:  # the model does not load, which shows again, or there is no room for another one
            return make(model, None, False)
    with suppress(Exception):  # what the next start will run is what this one's golden outputs must hold for
        session = make(data, None, True)
        keep_bytes(folder, _KIND, key, data, _MOST_FILES)
    return session
