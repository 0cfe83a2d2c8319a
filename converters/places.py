"""Where a conversion works and where its bundle goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.errors import ConversionError
from edgeinfer.host import FileLock


def check_output(output: Path, work: Path) -> None:
    """Refuse, before hours of training, an output that cannot be written after them, and a work folder that is none.

    Args:
        output: Where the bundle is to go.
        work: Folder of the conversion's steps.

    Raises:
        ConversionError: The output is a folder, has no name, lies where nothing can be written, or is the work
            folder; or that is a file.
    """
    if work.exists() and not work.is_dir():
        raise ConversionError(
            f"cannot use the work folder {work}", found="a file", next_step="choose another: --work"
        )
    what = f"cannot write a bundle to {output}"
    if not output.name or output.is_dir():
        raise ConversionError(what, found="a folder", expected="the name of a file")
    if output.resolve() in (work.resolve(), *work.resolve().parents):
        raise ConversionError(what, found="the work folder", expected="another place")
    place = next(path for path in output.resolve().parents if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise ConversionError(
            what,
            found=f"{place} is {'not writable' if place.is_dir() else 'a file'}",
            expected="a folder that can be written",
            next_step="choose another place: -o",
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
