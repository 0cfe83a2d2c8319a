"""One look at what was published: flags first, then the bundles that they choose, then what nobody needs any more.

Invariants:
* one process of a home updates at a time; the others go on;
* what cannot be fetched, is not for this device or must not be trusted leaves all that runs as it is;
* a kill in the flags holds before anything else is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.device.versions import Shelf, Versions
from edgeinfer.errors import EdgeInferError, NetworkError, StoreError, UpdateError
from edgeinfer.flags import Flags
from edgeinfer.frozen import frozen
from edgeinfer.host import locked
from edgeinfer.rollout import Choice, choose, choose_shadow, model_flag, shadow_flag
from edgeinfer.updates import SlotFile, families_in

if TYPE_CHECKING:  # TUF and cryptography load with the first update
    from edgeinfer.updates import Installer, SignedReleases

_PATIENCE_S = 0.0


@frozen
class UpdateReport:
    """What came of an update.

    Attributes:
        flags: Whether there was a new document of flags.
        on_trial: Digest that is on trial now, by family.
        refused: Why a bundle that was chosen is not taken, by family.
    """

    flags: bool = False
    on_trial: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


class Updating:
    """Brings a device up to what was published.

    Args:
        releases: What is signed.
        installer: Brings bundles here.
        flags: The device's.
        shelf: What the device keeps.
        lock: The file that the process which updates holds.
    """

    def __init__(
        self, releases: SignedReleases, installer: Installer, flags: Flags, shelf: Shelf, lock: Path
    ) -> None:
        self._releases, self._installer, self._flags = releases, installer, flags
        self._shelf, self._lock = shelf, lock

    def run(self, families: Mapping[str, Versions], *, activate: bool = True) -> UpdateReport:
        """Update.

        Args:
            families: The families that this device runs, and that follow what is published.
            activate: Whether fetched flags hold at once.

        Raises:
            UpdateError: What came must not be trusted, is over, or another process updates.
            NetworkError: There was no whole answer.
            StoreError: It cannot be kept.
        """
        try:
            with locked(self._lock, self._shelf.clock, _PATIENCE_S):
                return self._updated(families, activate=activate)
        except BlockingIOError as error:
            raise UpdateError(
                "another process updates this home now", next_step="it is tried again later"
            ) from error
        except OSError as error:
            raise StoreError(f"{self._lock} cannot be made ({error.strerror or error})") from error

    def _updated(self, families: Mapping[str, Versions], *, activate: bool) -> UpdateReport:
        self._shelf.store.make()
        self._releases.check()
        new = self._fetch_flags()
        if activate:
            self._flags.activate()
        on_trial: dict[str, str] = {}
        refused: dict[str, str] = {}
        for family, versions in families.items():
            try:
                digest = self._follow(versions)
                self._follow_shadow(versions)
            except NetworkError:
                raise
            except EdgeInferError as error:
                refused[family] = str(error)
            else:
                if digest:
                    on_trial[family] = digest
        self._collect()
        return UpdateReport(new, on_trial, refused)

    def _fetch_flags(self) -> bool:
        signed = self._releases.flags()
        if signed is None:
            return False
        known = self._flags.newest
        if known is not None and signed.hashes.get("sha256") == known.digest:
            self._flags.offer(known.data)  # it is still the newest: no flag grows stale
            return False
        return self._flags.offer(self._releases.fetch(signed))

    def _follow(self, versions: Versions) -> str | None:
        """Have the version that the flags choose for a family; return its digest where it is on trial."""
        wanted = self._chosen(versions)
        if wanted.digest is None:
            return None
        if wanted.digest in ("", versions.bundled_digest):
            versions.restore()
            return None
        slot = self._installer.install(versions.family, wanted.digest)
        slots = versions.try_out(slot)
        return slot.digest if slots.trial == slot else None

    def _follow_shadow(self, versions: Versions) -> None:
        """Have the candidate that the flags choose to run beside a family's model, or none."""
        wanted = choose_shadow(self._flags.details(shadow_flag(versions.family)), (), "")
        slot = None
        if wanted.digest is not None and not versions.is_out(wanted.digest):
            slot = self._installer.install(versions.family, wanted.digest)
        if slot != versions.slots.shadow:
            versions.shadow(slot)

    def _chosen(self, versions: Versions) -> Choice:
        details = self._flags.details(model_flag(versions.family))
        vetoed = {digest for digest in (details.value,) if digest and versions.is_out(digest)}
        return choose(details, vetoed)

    def _collect(self) -> None:
        """Remove what no slot names, no process holds and nothing waits for."""
        keep: dict[str, str] = {}
        for family in families_in(self._shelf.slots):
            keep |= SlotFile(self._shelf.slots, family, self._shelf.clock).read().named()
        held = self._shelf.loads.held() if self._shelf.loads is not None else frozenset()
        keep |= dict.fromkeys(held - set(keep), "")
        self._shelf.store.collect(keep, self._installer.coming)
        self._installer.coming.clear()
