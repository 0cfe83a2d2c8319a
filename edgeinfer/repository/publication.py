"""One change of a repository: drafts are made and signed, and what is signed by enough is published.

The order in which a change is written, so that a device that comes in the midst, or after a kill, finds a whole
repository, the one before or the one after:

    blobs, manifests, flags     named by nothing yet
    drafts                      what a kill interrupts is found here, and goes on with the next command
    N.models-*.json, N.flags.json, N.targets.json, N.snapshot.json
    timestamp.json              the moment at which devices see all of it
    N.root.json                 at last: until here everything is signed for the old root and for the new one

Where keys that are gone make the latter impossible, the new root is written right before timestamp.json: a device that
comes in between is refused once, keeps what runs, and asks again.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from edgeinfer.errors import RepositoryError
from edgeinfer.frozen import frozen
from edgeinfer.repository.changes import days_of, differences, issued, keys_of, stamp
from edgeinfer.repository.content import flags_document, offered, target_faults
from edgeinfer.repository.keys import Keys
from edgeinfer.repository.roles import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TOP,
    Roles,
    delegated,
    delegator,
    delegator_name,
    holds,
    publishable,
    waiting_for,
)
from edgeinfer.repository.rules import faults, unsigned_digests
from edgeinfer.repository.signers import signature_of
from edgeinfer.repository.storage import Storage

_BEHIND_S = 300
_BRING = "run this where its keys are; --old-keys-lost goes on without old ones"


@frozen
class Outcome:
    """What came of a command.

    Attributes:
        changes: What is other than before in the roles that were drafted, a line each.
        published: Versions by role, in the order in which they were written.
        waiting: Why each draft that is left is not published, by role.
        notes: What else is to be known.
    """

    changes: tuple[str, ...]
    published: Mapping[str, int]
    waiting: Mapping[str, str]
    notes: tuple[str, ...]


class Publication:
    """A change under way, while the repository's lock is held.

    Args:
        storage: The files.
        keys: Those that are here.
        now: In seconds since 1970.

    Attributes:
        before: The roles that are published.
        drafts: Those that are not yet.

    Raises:
        RepositoryError: The files cannot be read, or the clock is behind what was signed.
    """

    def __init__(self, storage: Storage, keys: Keys, now: float) -> None:
        self._storage, self._keys, self._now = storage, keys, now
        self._changes: list[str] = []
        self._notes: list[str] = []
        self._unsaved: set[str] = set()
        self._overtaken: list[str] = []
        self.before = storage.published()
        self.drafts = self._still_drafts()
        latest = max((issued(each.signed) for each in self.before.values()), default=0)
        if now < latest - _BEHIND_S:
            raise RepositoryError(
                "this machine's clock is behind what was signed",
                found=int(now),
                expected=f"{latest} or later",
                next_step="set the clock",
            )

    @property
    def after(self) -> Roles:
        """The roles as they are with all drafts."""
        return {**self.before, **self.drafts}

    def edited(self, name: str) -> Any:
        """Return a copy of what a role says, as drafted or else published, to be changed and staged."""
        return copy.deepcopy(self.after[name].signed)

    def stage(self, name: str, signed: Any) -> None:
        """Make a draft, signed with the keys that are here; it is kept when the change is published."""
        old = self.after.get(name)
        if name in self.drafts and self.drafts[name].signatures:
            self._notes.append(f"the draft of {name} changed: the signatures that it had are gone")
        self.drafts[name] = self._made(name, signed)
        told = differences(old.signed if old is not None else None, signed)
        self._changes += [f"{name}: {line}" for line in told]

    def signers(self, name: str, metadata: Metadata[Any]) -> list[Signer]:
        """Return what here can sign a role for keys that may, now or with the drafts, and have not yet."""
        return self._keys.signers(self._unsigned(name, metadata))

    def sign(self, name: str, metadata: Metadata[Any]) -> None:
        """Sign a role with all keys that are here."""
        for signer in self.signers(name, metadata):
            metadata.signatures[signer.public_key.keyid] = signature_of(signer, metadata.signed_bytes)
        self._unsaved.add(name)

    def take_over(self, name: str, copy_of_it: Metadata[Any]) -> None:
        """Add the signatures of a copy of a draft, those that are good.

        Raises:
            RepositoryError: It says something else.
        """
        draft = self.drafts[name]
        if copy_of_it.signed != draft.signed:
            raise RepositoryError(
                f"what is said to be a copy of the draft of {name}",
                found="another draft",
                next_step="sign this one",
            )
        for keyid, key in self._unsigned(name, draft).items():
            if keyid in copy_of_it.signatures:
                with suppress(UnverifiedSignatureError):
                    key.verify_signature(copy_of_it.signatures[keyid], draft.signed_bytes)
                    draft.signatures[keyid] = copy_of_it.signatures[keyid]
        self._unsaved.add(name)

    def publish(self, *, due: Collection[str] = (), urgent: bool = False, lost: bool = False) -> Outcome:
        """Keep the drafts, and publish those that hold.

        Args:
            due: Which of `snapshot` and `timestamp` are to be signed anew in any case.
            urgent: Whether it is an error that the keys of these two are not here.
            lost: Whether a new root goes out although keys of the old one are gone.

        Raises:
            RepositoryError: Metadata say what they must not, or an urgent change cannot be published here.
        """
        own = {name: self.drafts[name] for name in sorted(self._unsaved & self.drafts.keys(), key=_order)}
        _refuse_faults({**self.before, **own})
        for name in self._overtaken:
            self._storage.drop_draft(name)
        for name, draft in own.items():
            self._storage.keep_draft(name, draft)
        whole = {name: each for name, each in self.drafts.items() if not self.content_faults(name)}
        ready = publishable(self.before, whole, lost=lost)
        _refuse_faults({**self.before, **ready})
        changed = self._with_online(ready, due, lost) if ROOT in {**self.before, **ready} else {}
        after = {**self.before, **changed}
        missing = [name for name in changed if not holds(name, self.before, after, lost=lost)]
        if missing:
            error = RepositoryError(f"{' and '.join(missing)} cannot be signed here", next_step=_BRING)
            if urgent:
                raise error
            self._notes.append(str(error))
            changed = {}
        self._write(changed)
        waiting = {name: self.reason(name) for name in self.drafts}
        versions = {name: each.signed.version for name, each in changed.items()}
        return Outcome(tuple(self._changes), versions, waiting, tuple(self._notes))

    def content_faults(self, name: str, *, blobs: bool = True) -> list[str]:
        """Return what is wrong with the files behind the targets that a draft adds, or with its taking some away."""
        draft, old = self.drafts[name], self.before.get(name)
        new = getattr(draft.signed, "targets", {})
        known = getattr(old.signed, "targets", {}) if old is not None else {}
        added = [target for path, target in new.items() if known.get(path) != target]
        found = [fault for each in added for fault in target_faults(self._storage, each, blobs=blobs)]
        if known.keys() - new.keys():
            document = flags_document(self._storage, self.before)
            left = offered({**self.before, name: draft})
            found += unsigned_digests(document, left) if document is not None else []
        return found + self._storage.version_faults(name, draft)

    def reason(self, name: str) -> str:
        """Return why a draft is not published."""
        if found := self.content_faults(name):
            return found[0]
        for other in (TARGETS, *delegated(self.after)):
            unsigned = other not in self.drafts and not holds(other, self.before, self.after)
            if delegator_name(other) == name and unsigned:
                return f"{other} is not signed by the keys that it gives: edgeinfer repo refresh {other}"
        return waiting_for(name, self.before, self.drafts)

    def _unsigned(self, name: str, metadata: Metadata[Any]) -> dict[str, Key]:
        """Return the keys that may sign a role, and have not, by id."""
        found: dict[str, Key] = {}
        for judge in (delegator(self.before, name), delegator({**self.after, name: metadata}, name)):
            if judge is not None and keys_of(judge, name):
                told = judge.get_verification_result(name, metadata.signed_bytes, metadata.signatures)
                found |= told.unsigned
        return found

    def _still_drafts(self) -> dict[str, Metadata[Any]]:
        """Return the drafts, without those that were published since, or overtaken."""
        found = self._storage.drafts()
        for name, draft in list(found.items()):
            published = self.before.get(name)
            if published is not None and published.signed.version >= draft.signed.version:
                del found[name]
                self._overtaken.append(name)
                if published.signed != draft.signed:
                    self._notes.append(f"the draft of {name} was overtaken by what is published, and dropped")
        return found

    def _made(self, name: str, signed: Any) -> Metadata[Any]:
        """Return metadata as the next version of a role, signed with the keys that are here."""
        made: Metadata[Any] = Metadata(signed)
        published = self.before[name].signed.version if name in self.before else 0
        version = max(published, self._storage.latest(name)) + 1
        stamp(signed, version, self._now, days_of(delegator({**self.after, name: made}, name), name))
        self.sign(name, made)
        return made

    def _with_online(self, ready: Roles, due: Collection[str], lost: bool) -> dict[str, Metadata[Any]]:
        """Return all that is to be written, in order: also snapshot and timestamp, where they have to change."""
        root = {ROOT: ready[ROOT]} if ROOT in ready else {}
        changed = {name: ready[name] for name in sorted(ready.keys() - root.keys(), key=_order)}
        for name, build in ((SNAPSHOT, self._snapshot), (TIMESTAMP, self._timestamp)):
            after = {**self.before, **changed, **root}
            if changed or name in due or not holds(name, self.before, after, lost=lost):
                changed[name] = self._made(name, build(changed))
        changed |= root
        safe = self.before and all(holds(name, self.before, {**self.before, **changed}) for name in TOP)
        last = (TIMESTAMP, ROOT) if safe else (ROOT, TIMESTAMP)
        order = [*(name for name in changed if name not in last), *(name for name in last if name in changed)]
        return {name: changed[name] for name in order}

    def _snapshot(self, changed: Roles) -> Snapshot:
        meta = dict(self.before[SNAPSHOT].signed.meta) if self.before else {}
        return Snapshot(meta=meta | {f"{name}.json": _meta(each) for name, each in changed.items()})

    def _timestamp(self, changed: Roles) -> Timestamp:
        return Timestamp(snapshot_meta=_meta({**self.before, **changed}[SNAPSHOT]))

    def _write(self, changed: Roles) -> None:
        for name, metadata in changed.items():
            self._storage.publish(name, metadata)
        for name in changed.keys() & self.drafts.keys():
            self._storage.drop_draft(name)
            del self.drafts[name]
        self.before = {**self.before, **changed}


def _refuse_faults(roles: Roles) -> None:
    if found := faults(roles):
        raise RepositoryError(found[0], next_step="nothing was published")


def _meta(metadata: Metadata[Any]) -> MetaFile:
    return MetaFile.from_data(metadata.signed.version, metadata.to_bytes(), ["sha256"])


def _order(name: str) -> tuple[int, str]:
    """Sort what is granted before whoever grants it."""
    return {TARGETS: 1, ROOT: 2}.get(name, 0), name
