"""Which version of a model answers on this device.

Invariants:
* as long as one verified bundle is there, something answers: the trial, else the current, else the previous, else what
  came with the app;
* a version that was vetoed here, or with which two processes died before it answered, is not tried again;
* a trial is not tried where it cannot be written that it is: nobody would know that it died;
* a version that is damaged is not at fault: it is fetched again, and what is next in line answers meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgeinfer.bundle import open_bundle
from edgeinfer.errors import BundleError, EdgeInferError, StoreError
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock
from edgeinfer.inference import Health, Model
from edgeinfer.rollout import Breach, Exposure, Observed, Vetoes, verdict
from edgeinfer.updates import (
    BundleStore,
    Load,
    Loads,
    Slot,
    SlotFile,
    Slots,
    committed,
    restored,
    reverted,
    tried,
)

OnHealth = Callable[[Health], object]
Loader = Callable[[Path, str, OnHealth], Model]


@frozen
class Shelf:
    """What a device keeps of its models.

    Attributes:
        store: The bundles that were fetched.
        slots: The folder of slots.
        clock: The time.
        loads: Who holds what; None where the home cannot be written.
        vetoes: What does not run here any more; likewise.
    """

    store: BundleStore
    slots: Path
    clock: Clock
    loads: Loads | None = None
    vetoes: Vetoes | None = None


@frozen
class Version:
    """A version that is loaded.

    Attributes:
        model: It.
        slot: Where it lies; None for the bundle that came with the app.
        trial: Whether it has to prove itself.
        load: What is written of it; None where that cannot be.
    """

    model: Model
    slot: Slot | None
    trial: bool = False
    load: Load | None = None


class Versions:
    """The versions of one family; safe to share between threads.

    Args:
        family: The family's name.
        bundled: The bundle that came with the app, if any did.
        shelf: What the device keeps.
        load: Loads a bundle, given its path, the variant whose blobs are there (empty: all are), and what is told of
            its health.
    """

    def __init__(self, family: str, bundled: Path | None, shelf: Shelf, load: Loader) -> None:
        self.family, self._bundled, self._shelf, self._load = family, bundled, shelf, load
        self._file = SlotFile(shelf.slots, family, shelf.clock)
        self._bundled_digest: str | None = None
        self._out: set[str] = set()  # in this process, whatever can be written

    @property
    def slots(self) -> Slots:
        """The slots as they are now; none where a newer release wrote them."""
        with suppress(StoreError):
            return self._file.read()
        return Slots()

    @property
    def bundled_digest(self) -> str | None:
        """Digest of the bundle that came with the app; None where none did, or it cannot be read."""
        if self._bundled_digest is None and self._bundled is not None:
            with suppress(BundleError), open_bundle(self._bundled) as bundle:
                self._bundled_digest = bundle.digest
        return self._bundled_digest

    def first(self) -> Slot | None:
        """Return the slot that is first in line; None for the bundle that came with the app."""
        return next((each for each in self.slots.order if each is None or not self.is_out(each.digest)), None)

    def open(self, on_health: OnHealth) -> Version:
        """Load the first version in line that answers here.

        Args:
            on_health: What is told of the model's health.

        Raises:
            BundleError: There is none.
        """
        if self._shelf.loads is not None:
            with suppress(StoreError):
                self._shelf.loads.bury()
        slots, failed = self.slots, []
        for slot in slots.order:
            if slot is not None and self.is_out(slot.digest):
                failed.append(f"{slot.digest[:12]} was vetoed here")
                continue
            try:
                trial = slot is not None and slot == slots.trial
                return self._opened(slot, on_health, trial=trial)
            except EdgeInferError as error:
                failed.append(f"{slot.digest[:12] if slot else 'the bundled one'}: {error}")
        raise BundleError(
            f"no version of {self.family} answers here ({'; '.join(failed)})",
            next_step="ship one with the app, Device(bundled=...), or let `update` fetch one",
        )

    def try_out(self, slot: Slot) -> Slots:
        """Put a bundle that was installed on trial, unless it is current; return the slots then.

        Raises:
            StoreError: The slots cannot be written.
        """
        return self._file.change(lambda slots: tried(slots, slot))

    def shadow(self, slot: Slot | None) -> None:
        """Name what is to run beside what answers; raises as `try_out` does."""
        self._file.change(lambda slots: replace(slots, shadow=slot))

    def restore(self) -> None:
        """Let the bundle that came with the app answer again; raises as `try_out` does."""
        self._file.change(restored)

    def count_good(self, digest: str) -> int:
        """Count a good answer of a trial, and return how many there were.

        Raises:
            StoreError: It cannot be written.
        """
        return 0 if self._shelf.loads is None else self._shelf.loads.count_good(digest)

    def commit(self, slot: Slot) -> None:
        """Let a trial be the current; raises as `try_out` does."""
        self._file.change(lambda slots: committed(slots) if slots.trial == slot else slots)

    def revert(self, digest: str, breach: Breach, exposure: Exposure | None = None) -> None:
        """Let a digest answer here no more, from now on and after every restart.

        Args:
            digest: Of a bundle that was fetched.
            breach: What it did.
            exposure: What it served in, if it served.

        Raises:
            StoreError: That cannot be kept.
        """
        self._out.add(digest)
        if self._shelf.vetoes is not None:
            self._shelf.vetoes.add(digest, breach, exposure)
        self._file.change(lambda slots: reverted(slots, digest))

    def is_out(self, digest: str) -> bool:
        """Whether a digest must not run here: it was vetoed, or processes died with it."""
        if digest in self._out or self._shelf.vetoes is None or self._shelf.loads is None:
            return digest in self._out
        with suppress(StoreError):
            if self._shelf.vetoes.has(digest):
                return True
            breach = verdict(Observed(deaths=self._shelf.loads.deaths(digest)))
            if breach is not None:
                self.revert(digest, breach)
                return True
        return False

    def _opened(self, slot: Slot | None, on_health: OnHealth, *, trial: bool) -> Version:
        if slot is None:
            if self._bundled is None:
                raise BundleError("none came with the app")
            return Version(self._load(self._bundled, "", on_health), None)
        load = self._begun(slot.digest, trial=trial)
        try:
            model = self._load(self._shelf.store.path(slot.digest), slot.variant, on_health)
        except BundleError:
            with suppress(StoreError):
                self._shelf.store.drop_damaged(slot.digest)
            raise
        except (EdgeInferError, MemoryError) as error:
            if trial:
                self.revert(slot.digest, Breach("load_failure", str(error)))
            raise BundleError(f"it does not load here ({error})") from error
        finally:
            if load is not None:
                with suppress(StoreError):
                    load.idle()
        return Version(model, slot, trial, load)

    def _begun(self, digest: str, *, trial: bool) -> Load | None:
        if self._shelf.loads is not None:
            try:
                return self._shelf.loads.begin(digest)
            except StoreError:
                if trial:
                    raise
        elif trial:
            raise StoreError("a trial cannot be written down here")
        return None
