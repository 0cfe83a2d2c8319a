"""The flags of a device: what holds now, what was fetched and waits for its moment, and what was killed.

Invariants:
* a read raises nothing, waits for nothing, and reads no file;
* what was fetched holds from `activate` on, and in no session that began before; a kill holds at once, everywhere;
* an older document never takes the place of a newer one, and one that comes with an app never that of a fetched one
  of the same or a later release;
* what was fetched is kept before it holds, so that a kill once seen holds offline and after a restart too;
* where the device stands in a rollout is kept before a share of it holds, and is not computed again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import FlagError, StoreError
from edgeinfer.flags.context import checked
from edgeinfer.flags.document import Document, read_document
from edgeinfer.flags.evaluation import failed, resolve
from edgeinfer.flags.snapshot import NOTHING, Positions, Snapshot, compiled, outdated, told
from edgeinfer.host import Clock, SystemClock, tell

if TYPE_CHECKING:
    from edgeinfer.flags.flag import Flag, FlagDetails, Value
    from edgeinfer.flags.keeping import KeptFlags
    from edgeinfer.flags.sources import Source
    from edgeinfer.store import Home

_NEVER = float("inf")
# What holds whatever the context of a call or the begin of a session: a kill, and a document that is too old.
_OVERRULING = ("DISABLED", "STALE")


class Flags:
    """Answers the questions that a program declares as `Flag`; safe to share between threads.

    Args:
        context: Attributes of this device that rules may ask for, and `targetingKey`, which tells it apart in shares:
            a random text of the app's, the same for as long as the device is to stay in its share.
        source: Where documents come from.
        bundled: The document that came with the app, for the first start.
        home: Where fetched documents are kept, and where the device stands in rollouts.
        clock: The time.

    Raises:
        FlagError: The bundled document is none, or the context has values that JSON does not have.
    """

    def __init__(
        self,
        context: Mapping[str, Any] | None = None,
        *,
        source: Source | None = None,
        bundled: bytes | None = None,
        home: Home | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or (home.clock if home is not None else SystemClock())
        self._context, self._source = checked(context or {}), source
        self._kept = None if home is None else _kept_in(home)
        self._lock = threading.RLock()
        self._listeners: list[Callable[[frozenset[str]], object]] = []
        # What was fetched last, what was activated of it with the kills since, and that with what it is too old for.
        self._next = self._active = self._now = NOTHING
        self._stale_at, self._fresh_at = _NEVER, self._clock.monotonic()
        self._positions: Positions = {}
        first = None if bundled is None else read_document(bundled)
        age_s = 0.0
        if self._kept is not None:
            with suppress(StoreError):  # where it cannot be read, it is drawn again
                self._positions = self._kept.positions()
            with suppress(StoreError, FlagError):  # what cannot be read is fetched again
                kept = self._kept.newest()
                if kept is not None and (first is None or kept[0].version >= first.version):
                    first, age_s = kept
        if first is not None:
            self._next = self._compiled(first)
            self._fresh_at -= age_s
            self.activate()

    @property
    def document(self) -> Document | None:
        """The document that holds."""
        return self._now.document

    @property
    def newest(self) -> Document | None:
        """The document that was fetched last, whether it holds already or waits for `activate`."""
        return self._next.document

    @property
    def has_source(self) -> bool:
        """Whether documents can be fetched."""
        return self._source is not None

    @property
    def stale(self) -> bool:
        """Whether flags fell back since the document was not known to be the newest for too long."""
        return self._now.stale

    def value(self, flag: Flag[Value]) -> Value:
        """Return a flag's value; its default where there is no answer of its type."""
        if self._clock.monotonic() >= self._stale_at:
            self._grow_old()
        return self._now.value(flag)

    def details(self, flag: Flag[Value], context: Mapping[str, Any] | None = None) -> FlagDetails[Value]:
        """Return a flag's value, and why.

        Args:
            flag: The question.
            context: Attributes for this call alone, beside those of the device: evaluated anew, which costs more.
        """
        if self._clock.monotonic() >= self._stale_at:
            self._grow_old()
        now = self._now
        document = now.document
        if not context or document is None or flag.key not in document.flags:
            return now.details(flag)
        held = now.details(flag)
        if held.reason in _OVERRULING:
            return held
        try:
            merged = {**self._context, **checked(context)}
        except FlagError as error:
            return told(flag, failed(document.flags[flag.key], "INVALID_CONTEXT", str(error)))
        return told(flag, resolve(document.flags[flag.key], merged, self._clock.utc()))

    def session(self) -> FlagSession:
        """Return what holds now, to be held on to for as long as something is to stay as it began."""
        return FlagSession(self, self._now)

    def refresh(self) -> bool:
        """Fetch; return whether there is something new. What is new waits for `activate`, but for kills.

        Raises:
            FlagError: What came is no document, or an older one; what holds goes on.
            EdgeInferError: Nothing could be fetched; likewise.
        """
        if self._source is None:
            raise FlagError("there is nowhere to fetch flags from", next_step="give Flags a source")
        return self.offer(self._source.fetch())

    def offer(self, data: bytes) -> bool:
        """Take a document that is known to be the newest now; as `refresh` otherwise."""
        document = read_document(data)
        with self._lock:
            known = self._next.document
            if known is not None and document.version < known.version:
                raise FlagError(
                    "a document of flags is older than one that was seen",
                    found=f"release {document.version}",
                    expected=f"{known.version} or later",
                )
            if self._kept is not None:
                self._kept.keep(document)
            self._fresh_at = self._clock.monotonic()
            new = known is None or known.digest != document.digest
            if new:
                self._next = self._compiled(document)
                self._active = self._active.with_(self._next.killed())
            self._swap()
            return new

    def activate(self) -> bool:
        """Let what was fetched hold, for all sessions that begin from now on; return whether anything changed."""
        with self._lock:
            new = self._next.document is not self._active.document
            if new:
                self._active = self._next
                self._swap()
            return new

    def on_change(self, listener: Callable[[frozenset[str]], object]) -> None:
        """Tell a listener of the flags whose answers change here."""
        self._listeners.append(listener)

    def with_context(self, **attributes: Any) -> None:
        """Change the device's context: all flags are evaluated anew.

        Raises:
            FlagError: A value is none that JSON has.
        """
        with self._lock:
            self._context = checked({**self._context, **attributes})
            active, fetched = self._active.document, self._next.document
            if fetched is not None:
                self._next = self._compiled(fetched)
            if active is fetched:
                self._active = self._next
            elif active is not None:
                self._active = self._compiled(active).with_(self._next.killed())
            self._swap()

    def _compiled(self, document: Document) -> Snapshot:
        found = self._evaluated(document)
        drawn = {at: each for at, each in found.positions.items() if at not in self._positions}
        if not drawn or self._kept is None:
            return found
        with suppress(StoreError):  # a home that cannot be written is tried again with the next document
            self._positions = self._kept.settle(drawn)
        moved = any(self._positions.get(at, each) != each for at, each in drawn.items())
        return self._evaluated(document) if moved else found

    def _evaluated(self, document: Document) -> Snapshot:
        clock = self._clock
        return compiled(document, self._context, clock.utc(), clock.monotonic, self._positions)

    def _grow_old(self) -> None:
        # Whoever has the lock is about to swap, perhaps behind a write to the disk.
        if self._lock.acquire(blocking=False):
            try:
                self._swap()
            finally:
                self._lock.release()

    def _swap(self) -> None:
        """Let what is active hold as it is at its age."""
        before, now, document = self._now, self._active, self._active.document
        self._stale_at = _NEVER
        if document is not None:
            age_s = self._clock.monotonic() - self._fresh_at
            now = now.with_(outdated(document, age_s))
            ahead = (each.max_stale_s for each in document.flags.values() if each.max_stale_s is not None)
            self._stale_at = self._fresh_at + min((each for each in ahead if each > age_s), default=_NEVER)
        self._now = now
        changed = before.differing(now)
        for listener in self._listeners if changed else ():
            tell(listener, changed, "on_change")


class FlagSession:
    """The flags as they were when something began, but for those that were killed or are too old.

    Made by `Flags.session`.
    """

    def __init__(self, flags: Flags, began: Snapshot) -> None:
        self._flags, self._began = flags, began

    def value(self, flag: Flag[Value]) -> Value:
        """Return a flag's value, as `Flags.value` does."""
        return self.details(flag).value

    def details(self, flag: Flag[Value]) -> FlagDetails[Value]:
        """Return a flag's value, and why."""
        now = self._flags.details(flag)
        return now if now.reason in _OVERRULING else self._began.details(flag)


def _kept_in(home: Home) -> KeptFlags:
    from edgeinfer.flags.keeping import KeptFlags  # SQLite, which takes as long to import as the rest

    return KeptFlags(home)
