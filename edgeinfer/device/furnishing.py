"""Where a device keeps what it keeps, opened as far as the disk allows.

home.db, installation      what is written down; what tells this installation apart
metadata/                  signed metadata that were verified
models/                    bundles, slots, and who holds what
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from edgeinfer.device.installation import installation_key
from edgeinfer.device.versions import Shelf
from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.frozen import frozen
from edgeinfer.host import Clock
from edgeinfer.rollout import Exposures, Vetoes
from edgeinfer.store import Home
from edgeinfer.updates import BundleStore, Loads, Server


@frozen
class Furniture:
    """What a device keeps.

    Attributes:
        folder: Where.
        key: What tells this installation apart.
        shelf: What it keeps of its models.
        home: The database; None where it cannot be used: what is here is served, and nothing is tried or updated.
        exposures: What served; likewise.
        problem: Why it cannot be used.
    """

    folder: Path
    key: str
    shelf: Shelf
    home: Home | None = None
    exposures: Exposures | None = None
    problem: str = ""

    def close(self) -> None:
        """Give back what is held."""
        if self.shelf.loads is not None:
            self.shelf.loads.close()
        if self.home is not None:
            self.home.close()


def furnish(home: str | os.PathLike[str] | None, server: Server | None, clock: Clock) -> Furniture:
    """Open what a device keeps, or make it.

    Args:
        home: The folder; None takes the platform's folder for data, and one in it for each publisher.
        server: Where updates come from.
        clock: The time.
    """
    folder = _default_folder(server) if home is None else Path(home).absolute()
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store, slots = BundleStore(folder / "models"), folder / "models" / "slots"
    key = installation_key(folder, clock)
    try:
        opened = Home(folder, clock=clock)
        loads = Loads(opened, folder / "models" / "running")
    except StoreError as error:
        return Furniture(folder, key, Shelf(store, slots, clock), problem=str(error))
    shelf = Shelf(store, slots, clock, loads, Vetoes(opened))
    return Furniture(folder, key, shelf, opened, Exposures(opened))


def root_bytes(root: str | os.PathLike[str] | bytes | None) -> bytes:
    """Return the root metadata that an app trusts.

    Raises:
        PolicyError: There is none, or they cannot be read.
    """
    if isinstance(root, bytes):
        return root
    if root is None:
        raise PolicyError(
            "signed updates are trusted by the root metadata that come with the app",
            found="no root",
            expected="root=, the file metadata/1.root.json that `edgeinfer repo init` made",
        )
    try:
        return Path(root).read_bytes()
    except OSError as error:
        raise PolicyError(f"the root metadata {root} cannot be read ({error.strerror or error})") from error


def _default_folder(server: Server | None) -> Path:
    from platformdirs import user_data_path

    publisher = "local" if server is None else hashlib.sha256(server.root).hexdigest()[:16]
    return user_data_path("edgeinfer", appauthor=False) / publisher
