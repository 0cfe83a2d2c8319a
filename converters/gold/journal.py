"""The journal of a gold set: one line a version, each naming the line before it. Pure.

Invariants of a journal that passed `parse_journal`:
* versions are numbered 1, 2, ... without a gap, and each holds the SHA-256 of the line before it, so that
  no line was changed, dropped or put between since;
* each version labels at least one item, none twice, and every item's file is named by its digest.

A version's set is every item with the label that it was last given up to that version. Its digest is
that of those pairs alone: who labelled when does not change what an evaluation ran on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edgeinfer.bundle import Dialect, canonical_json, decode, encode
from edgeinfer.errors import DataError

_DIALECT = Dialect(DataError, forbid_unknown=True, next_step="restore the journal from a backup")
_FILE = re.compile(r"([0-9a-f]{64})(\.[a-z0-9]{1,8})?")
_MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Labelled:
    """One item and the label it was given.

    Attributes:
        file: Its name in `items/`: the SHA-256 (hex) of its content, and a suffix.
        size: Bytes.
        name: Name of the file that it was added from.
        label: Name of its class.
    """

    file: str
    size: int
    name: str
    label: str

    @property
    def sha256(self) -> str:
        """The content's digest."""
        return self.file[:64]


@dataclass(frozen=True)
class Version:
    """What was added at once.

    Attributes:
        version: Number, from 1.
        previous: SHA-256 (hex) of the line before, empty for the first.
        at: When, in UTC: `2026-11-23T03:41:00Z`.
        by: Who labelled.
        items: What they labelled.
    """

    version: int
    previous: str
    at: str
    by: str
    items: tuple[Labelled, ...]


@dataclass(frozen=True)
class Entry:
    """An item of a version's set, and who labelled it so, and when."""

    item: Labelled
    version: int
    by: str
    at: str


def parse_journal(data: bytes, where: str) -> tuple[Version, ...]:
    """Read a journal.

    Args:
        data: Its bytes.
        where: Its name, for messages.

    Raises:
        DataError: It is not whole, or not one that `line_of` wrote.
    """
    lines = data.splitlines(keepends=True)
    if not lines:
        # It is only ever written with a first version in it.
        raise _damaged(where, "an empty file")
    found: list[Version] = []
    for at, line in enumerate(lines, 1):
        place = f"{where} line {at}"
        if not line.endswith(b"\n"):
            raise _damaged(place, "a line that is cut off")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _damaged(place, f"no JSON ({error})") from None
        version = decode(Version, value, where=place, dialect=_DIALECT)
        _check(version, at, digest_of(lines[at - 2]) if at > 1 else "", place)
        found.append(version)
    return tuple(found)


def line_of(version: Version) -> bytes:
    """Return a version as a line of the journal."""
    return canonical_json(encode(version)) + b"\n"


def set_at(versions: Sequence[Version], number: int) -> dict[str, Entry]:
    """Return the set of a version: what each item, by digest, was last labelled up to it."""
    found: dict[str, Entry] = {}
    for version in versions[:number]:
        for item in version.items:
            known = found.get(item.sha256)
            # The first name of the file stays: that is where it lies.
            kept = item if known is None else Labelled(known.item.file, item.size, item.name, item.label)
            found[item.sha256] = Entry(kept, version.version, version.by, version.at)
    return dict(sorted(found.items()))


def set_digest(entries: Mapping[str, Entry]) -> str:
    """Return the SHA-256 (hex) of the canonical JSON (RFC 8785) of label by item digest."""
    labels = {sha256: entry.item.label for sha256, entry in entries.items()}
    return digest_of(canonical_json(labels))


def digest_of(data: bytes) -> str:
    """Return the SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def check_text(what: str, text: str) -> str:
    """Return a label or a name if it can be told apart on a screen.

    Raises:
        DataError: It is empty, too long, or holds control characters or spaces at its ends.
    """
    good = text == text.strip() and 0 < len(text) <= _MOST_CHARACTERS and text.isprintable()
    if not good:
        raise DataError(
            what,
            found=repr(text[:_MOST_CHARACTERS]),
            expected=f"1 to {_MOST_CHARACTERS} printable characters, no spaces at the ends",
        )
    return text


def spell_time(text: str | None, now: datetime) -> str:
    """Return a time as the journal states it.

    Args:
        text: ISO 8601 with its offset from UTC, or None for now.
        now: The present, with its offset.

    Raises:
        DataError: It is no time, or lacks the offset.
    """
    try:
        moment = now if text is None else datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DataError(
            "the time of labelling",
            found=repr(text),
            expected="ISO 8601 with an offset: 2026-11-23T03:41:00Z",
        )
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check(version: Version, number: int, previous: str, place: str) -> None:
    if version.version != number:
        raise _damaged(place, f"version {version.version}", f"version {number}")
    if version.previous != previous:
        raise _damaged(place, "another line before it than when it was written")
    if not version.items:
        raise _damaged(place, "no items")
    seen = set()
    for item in version.items:
        if not _FILE.fullmatch(item.file) or item.size < 0:
            raise _damaged(place, f"file {item.file[:80]!r} of {item.size} bytes")
        if item.sha256 in seen:
            raise _damaged(place, f"{item.sha256[:16]} twice")
        seen.add(item.sha256)
        check_text(f"{place}: the label", item.label)
    check_text(f"{place}: who labelled", version.by)


def _damaged(place: str, found: str, expected: str | None = None) -> DataError:
    return DataError(f"{place} is damaged", found=found, expected=expected, next_step=_DIALECT.next_step)
