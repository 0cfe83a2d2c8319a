"""How a rule of the manifest is stated, and the patterns of its names."""

from __future__ import annotations

from edgeinfer.bundle.containers import GET_ANOTHER
from edgeinfer.errors import ManifestError

HEX_PATTERN = "[0-9a-f]{64}"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def require(good: object, where: str, found: object, expected: object) -> None:
    """Refuse a manifest in which something does not hold.

    Raises:
        ManifestError: `good` is false.
    """
    if not good:
        raise ManifestError(where, found=found, expected=expected, next_step=GET_ANOTHER)
