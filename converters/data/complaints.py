"""What is wrong with a collection as a whole: class folders without items, and items that cannot be read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from converters.data.sources import Item, is_hidden
from converters.progress import Reporter
from edgeinfer.errors import DataError

_SHOWN = 5


def refuse_empty_folders(root: Path, items: Iterable[Item]) -> None:
    """Refuse a folder among the class folders that holds no item: a class would be missing unnoticed.

    Args:
        root: The collection; nothing is looked for in a zip file, which seldom holds empty folders.
        items: Its items, named from there.

    Raises:
        DataError: There is one.
    """
    if not root.is_dir():
        return
    full = {PurePosixPath(item.name).parts[: _depth(item) + 1] for item in items}
    for above in sorted({parts[:-1] for parts in full}):
        beside = sorted(path for path in root.joinpath(*above).iterdir() if path.is_dir())
        shown = [path.name for path in beside if not is_hidden(path.name)]
        if empty := [name for name in shown if (*above, name) not in full]:
            raise DataError(
                f"class folder {'/'.join((*above, empty[0]))} of {root} holds nothing that can be read",
                found=f"{len(empty)} such of {len(shown)} folders",
                expected="items in every class folder",
                next_step="fill it, or move it elsewhere",
            )


def _depth(item: Item) -> int:
    parts = PurePosixPath(item.name).parts
    return max(at for at, part in enumerate(parts[:-1]) if part == item.label)


def check_labels(labels: Iterable[str]) -> None:
    """Refuse names of classes that cannot stand in a manifest, or not in one line of an answer.

    Raises:
        DataError: One is no text, or has a control character.
    """
    for label in labels:
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in label):
            raise DataError(
                "the name of a class",
                found=ascii(label),
                expected="text in UTF-8 without line breaks or control characters",
                next_step="rename the class",
            )


def check_unreadable(
    unreadable: Sequence[str], total: int, allowed: float, log: Path, report: Reporter
) -> None:
    """List the items that cannot be read, and refuse too many.

    Args:
        unreadable: A line each: the item's name and what is wrong with it.
        total: Items in all.
        allowed: Share of them that may be unreadable.
        log: Receives every line.
        report: Is told how many there are.

    Raises:
        DataError: There are more.
    """
    if not unreadable:
        return
    log.write_text("".join(f"{line}\n" for line in unreadable), encoding="utf-8")
    way = f"mend or remove them, or raise data.max_unreadable; {log} has them all, each with its reason"
    refuse_unreadable(unreadable, total, allowed, way)
    report.note(
        f"{len(unreadable)} of {total} items cannot be read; they are left out and listed in {log.name}"
    )


def refuse_unreadable(unreadable: Sequence[str], total: int, allowed: float, next_step: str) -> None:
    """Refuse data of which too much cannot be read, or all.

    Args:
        unreadable: A line each: the item's name and what is wrong with it.
        total: Items in all.
        allowed: Share of them that may be unreadable.
        next_step: What to do.

    Raises:
        DataError: There are more, or no item is left.
    """
    if len(unreadable) <= allowed * total and len(unreadable) < total:
        return
    names = ", ".join(line.split(": ")[0] for line in unreadable[:_SHOWN])
    raise DataError(
        f"{len(unreadable)} of {total} items cannot be read: {names}{' ...' if len(unreadable) > _SHOWN else ''}",
        found=f"{len(unreadable) / total:.1%}, the first: {unreadable[0]}",
        expected=f"at most {allowed:.1%}",
        next_step=next_step,
    )
