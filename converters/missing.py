"""Packages that a command needs and that a device's installation does not bring."""

from __future__ import annotations

from importlib.util import find_spec

from edgeinfer.errors import ConversionError


def require_packages(what: str, *names: str) -> None:
    """Refuse to start without packages.

    Args:
        what: What needs them, the start of a sentence.
        names: Names by which they are imported.

    Raises:
        ConversionError: One is not installed.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConversionError(
            f"{what} needs more packages",
            found=f"no {', '.join(missing)}",
            next_step="pip install 'edgeinfer[convert]'",
        )
