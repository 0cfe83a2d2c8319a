"""A bundle that was read and checked before, opened again in a fraction of the time.

What is kept is the manifest as records and where each entry lies in the file: neither JSON nor zip are read again.

Invariants:
* it is used only where the bytes of the manifest that lie in the bundle now are those that were checked then;
* blobs are hashed as ever before anyone gets them, wherever they are read from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from edgeinfer.bundle.containers import in_folder, in_pieces, read_manifest
from edgeinfer.bundle.reader import Bundle
from edgeinfer.errors import BundleError
from edgeinfer.frozen import frozen
from edgeinfer.host import keep, kept
from edgeinfer.version import __version__

if TYPE_CHECKING:
    from edgeinfer.bundle.manifest import Manifest

_KIND = "bundles"


@frozen
class _Opened:
    """A bundle as it was: its digest, its manifest, and where its entries lie unless it is a folder."""

    digest: str
    manifest: Manifest
    places: Mapping[str, tuple[int, int]] | None


def reopen(path: str | os.PathLike[str], cache: str) -> Bundle | None:
    """Open a bundle that was opened before; None where it was not, or where its manifest is another by now.

    Args:
        path: As for `open_bundle`.
        cache: Folder in which it was kept.
    """
    try:
        own = os.fspath(path)
    except TypeError:  # whoever opens it in full says what is wrong
        return None
    before = kept(cache, _KIND, _key(own))
    if not isinstance(before, _Opened):
        return None
    container = in_folder(own) if before.places is None else in_pieces(own, before.places)
    try:
        bundle = Bundle(own, container, read_manifest(container, own), before.manifest)
    except BundleError:  # likewise
        return None
    return bundle if bundle.digest == before.digest else None


def keep_opened(bundle: Bundle, cache: str) -> None:
    """Keep what `reopen` needs; where that cannot be written the next start takes as long as this one."""
    places = bundle.container.places()
    with suppress(OSError):
        keep(cache, _KIND, _key(str(bundle.path)), _Opened(bundle.digest, bundle.manifest, places))


def _key(path: str) -> str:
    return f"{__version__} {os.path.abspath(path)}"
