"""Selections that were measured on this device, kept as files.

Invariants:
* an entry is used only for exactly what it was measured with: bundle, wishes, threads, processor, packages;
* a file that was cut, changed or copied from another device is as good as none: it is measured again;
* a folder that cannot be written costs the time of measuring, never an answer.
"""

from __future__ import annotations

import platform

from edgeinfer.frozen import frozen
from edgeinfer.host import keep, kept, processor, versions_of
from edgeinfer.inference.selection import Candidate, Wishes

# Raised when what is measured, or what is kept of it, changes.
_FORMAT = 3
_KIND = "selections"
_PACKAGES = (
    "edgeinfer", "numpy", "pillow", "ai-edge-litert", "tflite-runtime", "tensorflow", "onnxruntime",
    "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-qnn",
)  # fmt: skip


@frozen
class Entry:
    """A choice that was made.

    Attributes:
        candidates: All that were considered, with their figures.
        chosen: Index of the one that runs.
        reason: Why.
        batch_gain: Time of an item in a batch over that of one alone, if measured.
        prepared: Whether the form that the engine keeps for later starts gave the golden outputs.
    """

    candidates: tuple[Candidate, ...]
    chosen: int
    reason: str
    batch_gain: float | None = None
    prepared: bool = False


def key_of(digest: str, engines: list[str], wishes: Wishes, how: tuple[int, bool]) -> str:
    """Return all that a selection depends on; reads what is installed without importing it."""
    threads, measured = how
    packages = sorted(versions_of(_PACKAGES).items())
    device = (platform.system(), processor())
    return repr((_FORMAT, digest, engines, vars(wishes), threads, measured, device, packages))


def recall(folder: str, key: str) -> Entry | None:
    """Return what was kept for a key, or None where there is nothing or it is damaged."""
    found = kept(folder, _KIND, key)
    return found if isinstance(found, Entry) else None


def remember(folder: str, key: str, entry: Entry) -> str | None:
    """Keep a selection; return why it could not be kept, or None."""
    try:
        keep(folder, _KIND, key, entry)
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror or error})"
    return None
