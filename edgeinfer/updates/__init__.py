"""Signed updates: TUF's metadata, downloads that resume, and slots that a device can fall back to."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.updates.bundle_store import BundleStore, needed_blobs
    from edgeinfer.updates.conditions import Conditions, obstacle
    from edgeinfer.updates.downloading import DownloadLimits, Downloads
    from edgeinfer.updates.installing import Installer, Means
    from edgeinfer.updates.layout import (
        BLOBS,
        FLAGS_PATHS,
        FLAGS_ROLE,
        FLAGS_TARGET,
        ISSUED,
        METADATA,
        TARGETS,
        Server,
        checked_family,
        family_paths,
        family_role,
        manifest_target,
    )
    from edgeinfer.updates.loads import Load, Loads
    from edgeinfer.updates.releases import SignedReleases
    from edgeinfer.updates.slots import (
        Slot,
        SlotFile,
        Slots,
        committed,
        families_in,
        restored,
        reverted,
        tried,
    )
    from edgeinfer.updates.trusted_time import SignedTimes, trusted_time
    from edgeinfer.updates.tuf_client import TufClient

# tuf and cryptography load with the first check.
__getattr__ = lazily(
    __name__,
    {
        "BLOBS": "layout",
        "FLAGS_PATHS": "layout",
        "FLAGS_ROLE": "layout",
        "FLAGS_TARGET": "layout",
        "ISSUED": "layout",
        "METADATA": "layout",
        "TARGETS": "layout",
        "BundleStore": "bundle_store",
        "Conditions": "conditions",
        "DownloadLimits": "downloading",
        "Downloads": "downloading",
        "Installer": "installing",
        "Load": "loads",
        "Loads": "loads",
        "Means": "installing",
        "Server": "layout",
        "SignedReleases": "releases",
        "SignedTimes": "trusted_time",
        "Slot": "slots",
        "SlotFile": "slots",
        "Slots": "slots",
        "TufClient": "tuf_client",
        "checked_family": "layout",
        "committed": "slots",
        "families_in": "slots",
        "family_paths": "layout",
        "family_role": "layout",
        "manifest_target": "layout",
        "needed_blobs": "bundle_store",
        "obstacle": "conditions",
        "restored": "slots",
        "reverted": "slots",
        "tried": "slots",
        "trusted_time": "trusted_time",
    },
)

__all__ = [
    "BLOBS",
    "FLAGS_PATHS",
    "FLAGS_ROLE",
    "FLAGS_TARGET",
    "ISSUED",
    "METADATA",
    "TARGETS",
    "BundleStore",
    "Conditions",
    "DownloadLimits",
    "Downloads",
    "Installer",
    "Load",
    "Loads",
    "Means",
    "Server",
    "SignedReleases",
    "SignedTimes",
    "Slot",
    "SlotFile",
    "Slots",
    "TufClient",
    "checked_family",
    "committed",
    "families_in",
    "family_paths",
    "family_role",
    "manifest_target",
    "needed_blobs",
    "obstacle",
    "restored",
    "reverted",
    "tried",
    "trusted_time",
]
