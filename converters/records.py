"""What a work folder remembers of a finished step: `done.json` beside its artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.json_file import load_json, save_json
from edgeinfer.bundle import canonical_json, encode
from edgeinfer.errors import EdgeInferError

_FILE = "done.json"
_SHOWN = 40


@dataclass(frozen=True)
class Depends:
    """All on which a step's result depends.

    Attributes:
        step: Its name.
        settings: Its part of the recipe, as canonical JSON.
        needs: Digest per artifact of earlier steps.
        tools: Version per package.
    """

    step: str
    settings: str
    needs: Mapping[str, str]
    tools: Mapping[str, str]

    def key(self) -> str:
        """Return the SHA-256 (hex) that two runs share exactly if all of it is the same."""
        whole = {**encode(self), "settings": json.loads(self.settings)}
        return hashlib.sha256(canonical_json(whole)).hexdigest()


@dataclass(frozen=True)
class Done:
    """A finished step.

    Attributes:
        key: Of that on which its artifacts depend.
        artifacts: Digest per artifact.
        depends: That itself, so that a plan can say what changed.
        seconds: How long it took; None where it was interrupted and went on.
        units: How much work that was, by the step's own measure.
    """

    key: str
    artifacts: Mapping[str, str]
    depends: Depends | None = None
    seconds: float | None = None
    units: float = 1.0


def read_done(folder: Path) -> Done | None:
    """Return what a step's folder says of the run that made it, None where it says nothing that can be read."""
    try:
        return load_json(Done, folder / _FILE)
    except (OSError, ValueError, EdgeInferError):
        return None


def write_done(folder: Path, done: Done) -> None:
    """Write it, whole or not at all."""
    save_json(done, folder / _FILE)


def whole_artifacts(folder: Path, depends: Depends, gives: Sequence[str]) -> Mapping[str, str] | None:
    """Return the digests of a folder's artifacts if they depend on just this and are as they were made."""
    done = read_done(folder)
    if done is None or done.key != depends.key() or harmed(folder, done, gives):
        return None
    return done.artifacts


def harmed(folder: Path, done: Done, gives: Sequence[str]) -> list[str]:
    """Return the artifacts that are missing or are not those that were made."""
    return [name for name in gives if digest_of(folder / name) != done.artifacts.get(name, "")]


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 (hex) of a file, or of the list of a folder's files with theirs; None if unreadable."""
    try:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            listed = {each.relative_to(path).as_posix(): digest_of(each) for each in files}
            return hashlib.sha256(canonical_json(listed)).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def changes(before: Depends, after: Depends) -> list[str]:
    """Return in words what makes the result of a step another than before."""
    told = [
        f"{place} {_shown(old)} -> {_shown(new)}"
        for place, old, new in _differences("", json.loads(before.settings), json.loads(after.settings))
    ]
    tools = sorted({*before.tools, *after.tools})
    told += [
        f"{name} {before.tools.get(name, 'none')} -> {after.tools.get(name, 'none')}"
        for name in tools
        if before.tools.get(name) != after.tools.get(name)
    ]
    return told + [
        f"{name} changed" for name, digest in after.needs.items() if before.needs.get(name) != digest
    ]


def _differences(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            inner = f"{place}.{name}" if place else name
            yield from _differences(inner, old.get(name), new.get(name))
    elif old != new:
        yield place or "settings", old, new


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
