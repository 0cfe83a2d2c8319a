"""Files that are either whole or not there.

Invariants:
* a name that a reader knows never holds half of what was being written: everything is written
  under a temporary name beside it, flushed to the disk, and renamed into place;
* when writing fails, the temporary file or folder is removed; when the process is killed, what is
  left carries the suffix `.partial` and is never taken for the real thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".partial"


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing bytes; it appears, whole and durable, when the block ends well.

    Raises:
        OSError: As the file system raises it; nothing is left at `path` that was not there before.
    """
    temporary = _temporary_name(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well.

    The files inside are flushed to the disk before the rename.

    Raises:
        FileExistsError: `path` is there already and is not an empty folder.
        OSError: As the file system raises it.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not an empty folder")
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        if path.exists():
            path.rmdir()
        temporary.replace(path)
    except BaseException:
        import shutil

        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(path.parent)


def _sync_tree(folder: Path) -> None:
    for each in sorted(folder.rglob("*"), reverse=True):
        if each.is_dir():
            sync_directory(each)
        else:
            # Windows flushes only what is open for writing.
            with each.open("r+b") as opened:
                os.fsync(opened.fileno())
    sync_directory(folder)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}{_SUFFIX}")


def sync_directory(path: Path) -> None:
    """Make a rename durable where a folder can be flushed: Windows and some network file systems cannot."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
