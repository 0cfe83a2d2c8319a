"""Packages that a command needs and that a device's installation does not bring."""

from __future__ import annotations

from importlib import metadata

from edgeinfer.errors import ConversionError


def require_packages(what: str, *names: str) -> None:
    """Refuse to start without packages.

    Args:
        what: What needs them, the start of a sentence.
        names: Names under which they are installed.

    Raises:
        ConversionError: One is not installed.
    """
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        raise ConversionError(
            f"{what} needs more packages",
            found=f"no {', '.join(missing)}",
            next_step="pip install 'edgeinfer[convert]'",
        )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
