"""Where a conversion works and where its bundle goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.errors import ConversionError
from edgeinfer.host import FileLock


def check_output(output: Path) -> None:
    """Refuse a place that no bundle can be written to.

    Raises:
        ConversionError: It is a folder, or has no name.
    """
    if not output.name or output.is_dir():
        raise ConversionError(
            f"cannot write a bundle to {output}", found="a folder", expected="the name of a file"
        )


@contextmanager
def alone_in(work: Path) -> Iterator[None]:
    """Make the work folder and keep other runs out of it.

    Raises:
        ConversionError: Another run is in it, or it cannot be written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock"):
            yield
    except BlockingIOError:
        raise ConversionError(
            f"another conversion works in {work}", next_step="wait for it, or choose another folder: --work"
        ) from None
    except OSError as error:
        raise ConversionError(
            f"cannot use the work folder {work} ({error.strerror or error})",
            next_step="choose another: --work",
        ) from error
