"""The parts of an update, put together; imported with the first one, since TUF and cryptography take their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinfer.device.updating import Updating
from edgeinfer.net import HttpTransport
from edgeinfer.updates import BLOBS, Downloads, Installer, Means, Server, SignedReleases, SignedTimes

if TYPE_CHECKING:
    from edgeinfer.device.furnishing import Furniture
    from edgeinfer.flags import Flags
    from edgeinfer.net import Transport
    from edgeinfer.store import Home


def assembled(
    furniture: Furniture, home: Home, server: Server, flags: Flags, means: Means, transport: Transport | None
) -> Updating:
    """Return what updates a device."""
    shelf, transport = furniture.shelf, transport or HttpTransport()
    releases = SignedReleases(
        server, furniture.folder / "metadata", transport, shelf.clock, SignedTimes(home)
    )
    downloads = Downloads(f"{server.url.rstrip('/')}/{BLOBS}", shelf.store, transport, shelf.clock)
    installer = Installer(shelf.store, releases, downloads, means)
    return Updating(releases, installer, flags, shelf, furniture.folder / "update.lock")
