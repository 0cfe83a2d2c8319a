"""Items that a command is handed: a folder or zip file, with the labels of its folders or without any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.data.sources import Item, Source, open_source
from edgeinfer.errors import DataError


@dataclass(frozen=True)
class Collection:
    """Items of one place.

    Attributes:
        source: Where they are read from.
        items: What is there; without labels each item's is empty.
        labelled: Whether their folders tell their classes.
        split: The split that was taken, or None where there are none.
    """

    source: Source
    items: tuple[Item, ...]
    labelled: bool
    split: str | None = None


def collect(path: Path, *, split: str | None = None, labelled: bool | None = None) -> Collection:
    """Return the items of a folder or zip file.

    Args:
        path: One folder a class, perhaps within `train`, `validation` and `test`; or items without
            class folders.
        split: Take this split; by default `test` where there is one, else everything.
        labelled: Whether folders are classes; by default they are, where there are any.

    Raises:
        DataError: There is nothing, or not the split that is asked for.
    """
    loose = open_source(path, labelled=False)
    items = tuple(loose.items())
    if labelled is None:
        labelled = any("/" in item.name for item in items)
    if not labelled:
        return Collection(loose, items, labelled=False)
    source = open_source(path)
    found = tuple(source.items())
    splits = {item.split for item in found} - {None}
    wanted = split or ("test" if "test" in splits else None)
    if wanted is not None:
        found = tuple(item for item in found if item.split == wanted)
    if not found:
        raise DataError(f"{path} has no {wanted} split", found=sorted(map(str, splits)) or "no splits")
    return Collection(source, found, labelled=True, split=wanted)
