"""Where things lie in a signed repository, and what its roles are called.

    metadata/N.root.json, timestamp.json, ...     TUF's metadata, with consistent snapshots
    targets/flags/SHA256.flags.json               the document of flags, signed by the online role `flags`
    targets/models/FAMILY/SHA256.DIGEST.json      a bundle's manifest, signed by the offline role of its family
    blobs/sha256/HEX                              what the manifests name, by digest

The blobs are no targets of their own: a manifest that is signed names the digest and the size of each.
"""

from __future__ import annotations

import re

from edgeinfer.errors import UpdateError
from edgeinfer.frozen import frozen

METADATA, TARGETS, BLOBS = "metadata", "targets", "blobs/sha256"
FLAGS_ROLE, FLAGS_TARGET, FLAGS_PATHS = "flags", "flags/flags.json", ("flags/*",)
# Of our own in what is signed: when it was, in seconds since 1970; TUF's metadata only say when they end.
ISSUED = "x-edgeinfer-issued"
_FAMILY = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@frozen
class Server:
    """Where signed updates come from.

    Attributes:
        url: The folder that `edgeinfer repo` made, as a web server serves it.
        root: The first root metadata, `1.root.json`, as they came with the app.
    """

    url: str
    root: bytes


def family_role(family: str) -> str:
    """Return the role that signs a family's manifests."""
    return f"models-{checked_family(family)}"


def family_paths(family: str) -> tuple[str, ...]:
    """Return the targets that a family's role may sign."""
    return (f"models/{checked_family(family)}/*",)


def manifest_target(family: str, digest: str) -> str:
    """Return the name of a bundle's manifest among the targets.

    Raises:
        UpdateError: The family's name or the digest is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise UpdateError("a bundle's digest", found=repr(digest)[:80], expected="64 hex digits")
    return f"models/{checked_family(family)}/{digest}.json"


def checked_family(family: str) -> str:
    """Return the name of a family of models.

    Raises:
        UpdateError: It is none.
    """
    if not _FAMILY.fullmatch(family):
        raise UpdateError(
            "the name of a family of models",
            found=repr(family)[:80],
            expected="letters a-z, digits and hyphens, 64 at most",
        )
    return family
