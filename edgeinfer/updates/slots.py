"""The versions of a model on this device: current, previous and trial.

Invariants, kept across a loss of power at any instruction:
* a slot only ever names a bundle that was whole and verified when it was named;
* the slots change by one atomic rename; two copies are kept, and one that is damaged gives way to the other;
* what was current becomes previous when a trial commits, and nothing else forgets it but a revert to it.

A slot that is empty stands for the bundle that came with the app.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeinfer.errors import StoreError
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock, atomic_file, locked
from edgeinfer.updates.bundle_store import storing

_FORMAT = 1
_COPY, _LOCK, _PATIENCE_S = ".copy.json", "lock", 2.0


@frozen
class Slot:
    """A bundle that can be opened here.

    Attributes:
        digest: Of its manifest.
        variant: The one whose blobs were fetched; empty where all are there.
    """

    digest: str
    variant: str = ""


@frozen
class Slots:
    """The versions of one family of models.

    Attributes:
        current: What answers; None is the bundle that came with the app.
        previous: What answered before, and answers again when it must.
        trial: What answers now and has to prove itself; None where nothing is on trial.
        shadow: What runs beside what answers, unheard; None where nothing does.
    """

    current: Slot | None = None
    previous: Slot | None = None
    trial: Slot | None = None
    shadow: Slot | None = None

    def named(self) -> dict[str, str]:
        """Return the variant of every digest that a slot names."""
        return {each.digest: each.variant for each in vars(self).values() if each}

    @property
    def order(self) -> tuple[Slot | None, ...]:
        """What to try in turn: the trial, the current, the previous, and the bundle that came with the app."""
        filled = [each for each in (self.trial,) if each]
        before = [each for each in (self.previous,) if each]
        return tuple(dict.fromkeys((*filled, self.current, *before, None)))


def tried(slots: Slots, trial: Slot) -> Slots:
    """Return the slots with a bundle on trial in place of another trial; unchanged where it is current."""
    return replace(slots, trial=None if trial == slots.current else trial)


def restored(slots: Slots) -> Slots:
    """Return the slots with the bundle that came with the app as the current."""
    if slots.current is None:
        return replace(slots, trial=None)
    return replace(slots, current=None, previous=slots.current, trial=None)


def committed(slots: Slots) -> Slots:
    """Return the slots with the trial as the current."""
    if slots.trial is None:
        return slots
    return replace(slots, current=slots.trial, previous=slots.current, trial=None)


def reverted(slots: Slots, digest: str) -> Slots:
    """Return the slots without a digest: the trial ends, or the previous is current again."""
    left = {name: None if each and each.digest == digest else each for name, each in vars(slots).items()}
    if slots.current and slots.current.digest == digest:
        left |= {"current": left["previous"], "previous": None}
    return Slots(**left)


class SlotFile:
    """Keeps the slots of a family; several processes may share it.

    Args:
        folder: The folder of slots.
        family: The family's name.
        clock: The time.
    """

    def __init__(self, folder: Path, family: str, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._paths = (folder / f"{family}.json", folder / f"{family}{_COPY}")

    def read(self) -> Slots:
        """Return the slots; none where there are none, or both copies are damaged.

        Raises:
            StoreError: They were written by a newer release.
        """
        for path in self._paths:
            with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                return _parsed(path.read_bytes(), path)
        return Slots()

    def change(self, change: Callable[[Slots], Slots]) -> Slots:
        """Change the slots by a function of them as they are, and return what they are then.

        Raises:
            StoreError: They cannot be written, or another process holds them for too long; what was kept holds.
        """
        with storing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / _LOCK, self._clock, _PATIENCE_S):
                before = self.read()
                after = change(before)
                if after != before:
                    self._sweep()
                    for path in self._paths:
                        with atomic_file(path) as file:
                            file.write(_written(after))
        return after

    def _sweep(self) -> None:
        """Remove what a process that was killed left of a copy that it wrote."""
        for path in self._folder.glob(".*.partial"):
            path.unlink(missing_ok=True)


def families_in(folder: Path) -> list[str]:
    """Return the families that have slots in a folder."""
    names = {path.name for path in folder.glob("*.json")}
    return sorted({name.removesuffix(_COPY).removesuffix(".json") for name in names})


def _written(slots: Slots) -> bytes:
    named = {name: each and [each.digest, each.variant] for name, each in vars(slots).items()}
    return json.dumps({"format": _FORMAT, "slots": named, "sha256": _check(named)}).encode()


def _parsed(data: bytes, path: Path) -> Slots:
    found: dict[str, Any] = json.loads(data)
    if found["format"] > _FORMAT:
        raise StoreError(
            f"{path} was written by a newer edgeinfer",
            found=f"format {found['format']}",
            expected=f"{_FORMAT} at most",
            next_step="pip install -U edgeinfer",
        )
    named = found["slots"]
    if _check(named) != found["sha256"]:
        raise ValueError("damaged")
    return Slots(**{name: None if each is None else Slot(*each) for name, each in named.items()})


def _check(named: object) -> str:
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
