"""A gold set on disk.

    journal.jsonl            one line a version, oldest first
    items/<sha256><suffix>   content, each once
    lock                     held while something is added

Invariants, kept across a kill at any instant:
* the journal is replaced whole, by one rename, and what it held stays its beginning;
* it only ever names items that were whole on the disk before; what a killed run left beside is not
  part of the set, and is taken over when it is added again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from converters.data.sources import PICTURES, RECORDINGS
from converters.gold.journal import (
    Entry,
    Labelled,
    Version,
    check_text,
    digest_of,
    line_of,
    parse_journal,
    set_at,
    set_digest,
)
from edgeinfer.bundle import Decode, DecodeAudio, FitLength, PreprocessStep
from edgeinfer.errors import DataError, InputError
from edgeinfer.host import FileLock, atomic_file
from edgeinfer.preprocess import Preprocessor

JOURNAL, ITEMS = "journal.jsonl", "items"
_MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Offered:
    """An item that is to be added.

    Attributes:
        name: Name of its file.
        label: Its class.
        read: Returns its content; called once or twice.
    """

    name: str
    label: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Added:
    """What adding did.

    Attributes:
        version: The set's version now; the one before where nothing changed.
        digest: Digest of that version's set.
        new: Items that were not there.
        relabelled: Items that got another label.
        known: Items that were there with that label already, or offered twice.
        total: Items of the set now.
    """

    version: int
    digest: str
    new: int
    relabelled: int
    known: int
    total: int


@dataclass(frozen=True)
class GoldSet:
    """A version of a gold set, as it is read.

    Attributes:
        folder: Where it lies.
        version: Its number; 0 before anything was added.
        digest: What it is: items and labels.
        entries: Items by digest.
    """

    folder: Path
    version: int
    digest: str
    entries: dict[str, Entry]

    def read(self, entry: Entry) -> bytes:
        """Return an item's content.

        Raises:
            DataError: The file is not there, or not what the journal names.
        """
        path = self.folder / ITEMS / entry.item.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _lost(path, f"nothing readable ({error.strerror or error})") from error
        if digest_of(data) != entry.item.sha256:
            raise _lost(path, "other content")
        return data


def read_versions(folder: Path) -> tuple[Version, ...]:
    """Return every version of a gold set.

    Raises:
        DataError: There is none, or its journal is damaged.
    """
    path = folder / JOURNAL
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"no gold set at {folder}",
            expected=f"a folder with {JOURNAL}",
            next_step="make one with `edgeinfer gold add`, or name its folder: --gold",
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error
    return parse_journal(data, str(path))


def open_set(folder: Path, version: int | None = None) -> GoldSet:
    """Return a version of a gold set, the newest by default.

    Raises:
        DataError: There is no such version, or as `read_versions`.
    """
    versions = read_versions(folder)
    number = len(versions) if version is None else version
    if not 1 <= number <= len(versions):
        raise DataError(f"{folder} has no version {number}", expected=f"1 to {len(versions)}")
    entries = set_at(versions, number)
    return GoldSet(folder, number, set_digest(entries), entries)


def add(
    folder: Path,
    offered: Sequence[Offered],
    *,
    by: str,
    at: str,
    relabel: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Added:
    """Add items as a new version; made if missing. Where nothing is new there is no new version.

    Args:
        folder: The gold set.
        offered: Items with labels.
        by: Who labelled.
        at: When, as `journal.spell_time` gives it.
        relabel: Whether an item that is there with another label may get this one; its history is kept.
        advance: Called after an item was looked at, and again after it was stored.

    Raises:
        DataError: An item cannot be read or is no whole picture, is offered with two labels, or is
            there with another label; nothing is added then. Or another process is adding.
    """
    check_text("who labelled", by)
    with _alone_in(folder):
        versions = read_versions(folder) if (folder / JOURNAL).exists() else ()
        before = set_at(versions, len(versions))
        chosen, known = _choose(offered, before, advance, relabel=relabel)
        if chosen:
            for item, read in chosen:
                _keep(folder / ITEMS / item.file, item, read)
                advance()
            old = (folder / JOURNAL).read_bytes() if versions else b""
            previous = digest_of(old.splitlines(keepends=True)[-1]) if versions else ""
            items = tuple(sorted((item for item, _ in chosen), key=lambda item: item.file))
            line = line_of(Version(len(versions) + 1, previous, at, by, items))
            parse_journal(old + line, JOURNAL)
            with atomic_file(folder / JOURNAL) as file:
                file.write(old + line)
        after = set_at(read_versions(folder), len(versions) + 1) if chosen else before
    relabelled = sum(item.sha256 in before for item, _ in chosen)
    number = len(versions) + bool(chosen)
    return Added(number, set_digest(after), len(chosen) - relabelled, relabelled, known, len(after))


def _choose(
    offered: Sequence[Offered], before: dict[str, Entry], advance: Callable[[], None], *, relabel: bool
) -> tuple[list[tuple[Labelled, Callable[[], bytes]]], int]:
    """Return what is new or newly labelled, and how many items are known already."""
    chosen: dict[str, tuple[Labelled, Callable[[], bytes]]] = {}
    seen: dict[str, Offered] = {}
    known = 0
    for each in offered:
        check_text(f"the label of {each.name}", each.label)
        data = each.read()
        _check_content(each.name, data)
        digest = digest_of(data)
        advance()
        twin = seen.setdefault(digest, each)
        if twin.label != each.label:
            raise DataError(
                f"{twin.name} and {each.name} are one item with two labels",
                found=f"{twin.label!r} and {each.label!r}",
                expected="one",
            )
        there = before.get(digest)
        if twin is not each or (there is not None and there.item.label == each.label):
            known += 1
            continue
        if there is not None and not relabel:
            raise DataError(
                f"{each.name} is in the set with another label",
                found=f"{each.label!r}",
                expected=f"{there.item.label!r}, by {there.by} at {there.at}",
                next_step="give --relabel if the new one is right",
            )
        name = PurePosixPath(each.name.replace("\\", "/")).name
        file = there.item.file if there is not None else digest + _suffix(name)
        chosen[digest] = (Labelled(file, len(data), _printable(name), each.label), each.read)
    return list(chosen.values()), known


def _check_content(name: str, data: bytes) -> None:
    if not data:
        raise DataError(f"{name} is empty")
    if len(data) > _MOST_BYTES:
        raise DataError(f"{name} is too large", found=f"{len(data):,} bytes", expected=f"{_MOST_BYTES:,}")
    steps: tuple[PreprocessStep, ...] = ()
    if name.lower().endswith(PICTURES):
        steps = (Decode("RGB"),)
    if name.lower().endswith(RECORDINGS):
        steps = (DecodeAudio(16_000), FitLength(1))
    if steps:
        try:
            Preprocessor(steps).item(data)
        except InputError as error:
            raise DataError(f"{name} cannot be read ({error})") from error


def _keep(path: Path, item: Labelled, read: Callable[[], bytes]) -> None:
    if path.is_file():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == item.sha256:
                return
    data = read()
    if digest_of(data) != item.sha256:
        raise DataError(f"{item.name} changed while it was added", next_step="add it again")
    with atomic_file(path) as target:
        target.write(data)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        (folder / ITEMS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            yield
    except BlockingIOError:
        raise DataError(
            f"another process is adding to {folder}", next_step="wait for it and try again"
        ) from None
    except OSError as error:
        raise DataError(f"cannot write {folder} ({error.strerror or error})") from error


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 9 else ""


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)[:255]


def _lost(path: Path, found: str) -> DataError:
    return DataError(
        f"gold item {path.name[:16]} is damaged or lost",
        found=found,
        expected=f"the content that {JOURNAL} names",
        next_step=f"restore {path} from a backup, or add the item again",
    )
