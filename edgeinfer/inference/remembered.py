"""Selections that were measured on this device, kept as files.

Invariants:
* an entry is used only for exactly what it was measured with: bundle, wishes, threads, processor, packages;
* a file that was cut, changed or copied from another device is as good as none: it is measured again;
* a folder that cannot be written costs the time of measuring, never an answer.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeinfer.bundle import canonical_json
from edgeinfer.frozen import frozen
from edgeinfer.host import keep_newest, processor, versions_of
from edgeinfer.inference.selection import Candidate, Wishes

# Raised when what is measured, or what is kept of it, changes.
_FORMAT = 2
_MOST_FILES = 256
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


def key_of(digest: str, engines: list[str], wishes: Wishes, how: tuple[int, bool]) -> dict[str, Any]:
    """Return all that a selection depends on; reads what is installed without importing it."""
    threads, measured = how
    return {
        "format": _FORMAT,
        "bundle": digest,
        "engines": engines,
        "wishes": asdict(wishes) | {"avoid": list(wishes.avoid)},
        "threads": threads,
        "measured": measured,
        "device": [platform.system(), processor()],
        "packages": versions_of(_PACKAGES),
    }


def recall(folder: Path, key: Mapping[str, Any]) -> Entry | None:
    """Return what was kept for a key, or None where there is nothing or it is damaged."""
    try:
        kept = json.loads(_file(folder, key).read_bytes())
        if kept["key"] != key or kept["sha256"] != _digest(kept["key"], kept["entry"]):
            return None
        entry = kept["entry"]
        candidates = tuple(Candidate(**each) for each in entry["candidates"])
        chosen = range(len(candidates))[entry["chosen"]]
        return Entry(candidates, chosen, entry["reason"], entry["batch_gain"], entry["prepared"])
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def remember(folder: Path, key: Mapping[str, Any], entry: Entry) -> str | None:
    """Keep a selection; return why it could not be kept, or None."""
    plain = asdict(entry) | {"candidates": [asdict(each) for each in entry.candidates]}
    document = {"key": key, "entry": plain, "sha256": _digest(key, plain)}
    path = _file(folder, key)
    try:
        keep_newest(path, json.dumps(document, indent=1).encode(), _MOST_FILES)
    except OSError as error:
        return f"{path.parent} cannot be written ({error.strerror or error})"
    return None


def _file(folder: Path, key: Mapping[str, Any]) -> Path:
    return folder / "selections" / f"{hashlib.sha256(canonical_json(key)).hexdigest()[:32]}.json"


def _digest(key: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([key, entry], sort_keys=True).encode()).hexdigest()
