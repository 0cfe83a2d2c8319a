"""From a digest that was chosen to a bundle that lies here whole: what is needed of it, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from edgeinfer.bundle import Blob, Manifest, parse_manifest
from edgeinfer.errors import ManifestError, RequirementError
from edgeinfer.frozen import frozen
from edgeinfer.host import Surroundings
from edgeinfer.updates.bundle_store import BundleStore, needed_blobs
from edgeinfer.updates.conditions import Conditions, obstacle
from edgeinfer.updates.slots import Slot

if TYPE_CHECKING:
    from edgeinfer.updates.downloading import Downloads
    from edgeinfer.updates.releases import SignedReleases


@frozen
class Means:
    """What an installation needs of its device.

    Attributes:
        choose: Returns, of a family's bundle, the id of the variant that will run here, by what is installed and how
            much memory there is; raises a `RequirementError` where none will.
        surroundings: Tells of network and power.
        conditions: What has to be so before a bundle is fetched.
    """

    choose: Callable[[str, Manifest], str]
    surroundings: Callable[[], Surroundings]
    conditions: Conditions


class Installer:
    """Brings bundles into a store; one process of a home at a time may.

    Attributes:
        coming: Blobs that were asked for, whether they are there by now or not.

    Args:
        store: Where to.
        releases: What is signed, checked before.
        downloads: Fetches blobs.
        means: What it needs of the device.
    """

    def __init__(
        self, store: BundleStore, releases: SignedReleases, downloads: Downloads, means: Means
    ) -> None:
        self._store, self._releases, self._downloads, self._means = store, releases, downloads, means
        self.coming: set[Blob] = set()

    def install(self, family: str, digest: str) -> Slot:
        """Have a bundle here, whole and verified; what is here already is not fetched again.

        Raises:
            UntrustedError: The offline keys have not signed it, or what came is another.
            RequirementError: It is not for this device, or not now.
            UpdateError: The server does not have it.
            NetworkError: There was no whole answer.
            StoreError: It cannot be kept.
        """
        signed = self._releases.manifest(family, digest)
        manifest = self._store.manifest(digest)
        data = b"" if manifest is not None else self._releases.fetch(signed)
        if manifest is None:
            manifest = _read(data, digest)
        variant = self._means.choose(family, manifest)
        needed = needed_blobs(manifest, variant)
        self.coming.update(needed)
        lacking = self._store.lacks(needed)
        if lacking:
            self._check_conditions(manifest, lacking)
            for blob in lacking:
                self._downloads.fetch(blob)
        if data:
            self._store.keep_manifest(data)
        return Slot(digest, variant)

    def _check_conditions(self, manifest: Manifest, lacking: Collection[Blob]) -> None:
        """Refuse before a byte of a model is fetched."""
        free = shutil.disk_usage(self._store.folder).free
        needed = sum(each.size for each in lacking)
        why = obstacle(self._means.conditions, self._means.surroundings(), free, needed)
        if why:
            raise RequirementError(
                f"{manifest.name} {manifest.version} is not fetched now",
                found=why,
                next_step="it is tried again later",
            )


def _read(data: bytes, digest: str) -> Manifest:
    try:
        return parse_manifest(data)
    except ManifestError as error:
        raise RequirementError(
            f"bundle {digest[:12]} cannot be read by this release ({error})", next_step="update the app"
        ) from error
