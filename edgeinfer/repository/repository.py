"""A signed repository, for those who publish: what its commands do.

Invariants:
* no private key lies in the folder that is served, nor does a draft;
* nothing is published that is not signed by enough of its role's keys, or whose files are not there and whole;
* flags choose only among bundles that the offline keys have signed;
* each command takes up what one before left unfinished.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tuf.api.metadata import Root, Targets

from edgeinfer.bundle import open_bundle
from edgeinfer.errors import FlagError, RepositoryError
from edgeinfer.flags import document_faults, read_document
from edgeinfer.host import Clock
from edgeinfer.repository.changes import days_of, delegate, differences, grant, issued, keys_of, role_of
from edgeinfer.repository.content import flags_document, offered, put_bundle, put_flags
from edgeinfer.repository.keys import Keys
from edgeinfer.repository.planning import (
    ONE,
    TWO_OF_THREE,
    KeyChange,
    Plan,
    Quorum,
    first_keys,
    other_keys,
)
from edgeinfer.repository.publication import Outcome, Publication
from edgeinfer.repository.roles import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TOP,
    delegated,
    delegator_name,
    holds,
    publishable,
)
from edgeinfer.repository.rules import ONLINE, draft_faults, unsigned_digests
from edgeinfer.repository.status import Status, models, release, role_states, verified
from edgeinfer.repository.storage import Storage, read_metadata
from edgeinfer.updates.layout import (
    FLAGS_PATHS,
    FLAGS_ROLE,
    FLAGS_TARGET,
    family_paths,
    family_role,
    manifest_target,
)

_DAY_S = 86_400
# For how many days metadata hold where nothing else is said.
_DAYS = {SNAPSHOT: 30, FLAGS_ROLE: 30, TIMESTAMP: 7}
_DAYS_OFFLINE = 365


class SignedRepository:
    """A folder of static files, and the keys to change it.

    Args:
        folder: What is served.
        keys: The keys on this machine: all of them, or one holder's.
        clock: The time.
        staging: Where drafts wait for signatures; beside the folder where it is not given.

    Attributes:
        storage: The files.
        keys: As given.

    Raises:
        RepositoryError: Keys or drafts would be served.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        keys: Keys,
        clock: Clock,
        *,
        staging: str | os.PathLike[str] | None = None,
    ) -> None:
        served = Path(folder).resolve()
        drafts = Path(staging).resolve() if staging else served.with_name(f"{served.name}.staging")
        for what, path in (("keys", keys.folder.resolve()), ("drafts", drafts)):
            if path.is_relative_to(served):
                raise RepositoryError(
                    f"the folder of the {what} would be served",
                    found=path,
                    expected=f"a folder outside {served}",
                )
        self.storage = Storage(served, drafts)
        self.keys, self._clock = keys, clock

    def create(self, plan: Plan) -> Outcome:
        """Make the repository, as far as the keys are here; missing key pairs are made.

        Raises:
            RepositoryError: There is one already, or the keys do not fit the plan.
            UpdateError: The name of a family is none.
        """
        names = [family_role(name) for name in plan.families]
        if unknown := plan.days.keys() - {*TOP, FLAGS_ROLE, *names}:
            raise RepositoryError("days for a role that is none", found=", ".join(sorted(unknown)))
        with self.storage.locked():
            change = self._opened(made=False)
            if change.before or ROOT in change.drafts:
                raise RepositoryError(
                    f"{self.storage.folder} is made already",
                    next_step="edgeinfer repo status tells what is missing",
                )
            root, targets = Root(), Targets()
            quorums = {ROOT: plan.root, TARGETS: plan.targets, SNAPSHOT: ONE, TIMESTAMP: ONE}
            for name, quorum in quorums.items():
                self._grant(root, name, quorum, plan.days)
            delegate(targets, FLAGS_ROLE, FLAGS_PATHS)
            self._grant(targets, FLAGS_ROLE, ONE, plan.days)
            for family, quorum in plan.families.items():
                delegate(targets, family_role(family), family_paths(family))
                self._grant(targets, family_role(family), quorum, plan.days)
            change.stage(ROOT, root)
            change.stage(TARGETS, targets)
            for name in (FLAGS_ROLE, *names):
                change.stage(name, Targets())
            return change.publish()

    def add_bundle(self, path: str | os.PathLike[str], family: str, quorum: Quorum = TWO_OF_THREE) -> Outcome:
        """Offer a bundle to devices, once its family's keys have signed it.

        Args:
            path: The bundle.
            family: The family; granted a role with keys of its own the first time.
            quorum: These keys.

        Raises:
            BundleError: It is damaged.
            RepositoryError: The keys do not fit, or there is no repository.
            UpdateError: The family's name is none.
        """
        role = family_role(family)
        with self._changing() as change, open_bundle(path) as bundle:
            target = put_bundle(self.storage, bundle, family)
            if role not in delegated(change.after):
                targets = change.edited(TARGETS)
                delegate(targets, role, family_paths(family))
                self._grant(targets, role, quorum, {})
                change.stage(TARGETS, targets)
            signed = change.edited(role) if role in change.after else Targets()
            if signed.targets.get(target.path) != target:
                signed.targets[target.path] = target
                change.stage(role, signed)
            return change.publish()

    def remove(self, family: str, digest: str) -> Outcome:
        """Offer a bundle no more; its files stay, for devices that are at it.

        Raises:
            RepositoryError: It is not offered, or the flags still choose it.
            UpdateError: The family's name or the digest is none.
        """
        role, path = family_role(family), manifest_target(family, digest)
        with self._changing() as change:
            if role not in change.after or path not in change.after[role].signed.targets:
                raise RepositoryError(
                    f"{path} is not offered", next_step="edgeinfer repo status lists what is"
                )
            signed = change.edited(role)
            del signed.targets[path]
            change.stage(role, signed)
            if found := change.content_faults(role):
                raise RepositoryError(
                    f"{digest} is still chosen", found=found[0], next_step="publish other flags first"
                )
            return change.publish()

    def add_flags(self, data: bytes) -> Outcome:
        """Publish a document of flags, at once.

        Raises:
            FlagError: Something is wrong with it.
            RepositoryError: It is no newer release, chooses a bundle that no offline key has signed, or a key is not
                here.
        """
        if found := document_faults(data):
            raise FlagError(found[0], next_step="edgeinfer flags check tells all")
        document = read_document(data)
        with self._changing() as change:
            least = (release(change.before) or 0) + 1
            if document.version < least:
                raise RepositoryError(
                    "a document of flags that is no newer",
                    found=f"release {document.version}",
                    expected=f"{least} or later",
                    next_step="count metadata.version up",
                )
            if found := unsigned_digests(document, offered(change.before)):
                raise RepositoryError(found[0], next_step="edgeinfer repo add the bundle first")
            signed = change.edited(FLAGS_ROLE)
            signed.targets = {FLAGS_TARGET: put_flags(self.storage, document)}
            change.stage(FLAGS_ROLE, signed)
            if FLAGS_ROLE not in publishable(change.before, change.drafts):
                raise RepositoryError(
                    "the flags cannot be signed here",
                    found=change.reason(FLAGS_ROLE),
                    next_step=f"bring the key to {self.keys.folder}, or run this where it is",
                )
            return change.publish(urgent=True)

    def sign(
        self,
        role: str,
        approve: Callable[[Sequence[str]], bool],
        *,
        copies: Collection[Path] = (),
        lost: bool = False,
    ) -> Outcome:
        """Sign a draft with the keys that are here, and publish it when that is enough.

        Args:
            role: The draft.
            approve: Is asked before anything is signed, with what the draft changes, a line each.
            copies: Files of the same draft, of which signatures are taken over.
            lost: Whether a new root goes out although keys of the old one are gone.

        Raises:
            RepositoryError: There is no such draft, it says what it must not, or it was not approved.
        """
        with self._changing() as change:
            draft = change.drafts.get(role)
            if draft is None:
                raise RepositoryError(
                    f"there is no draft of {role}", expected=f"one of {', '.join(change.drafts) or 'none'}"
                )
            published = change.before[role].signed if role in change.before else None
            found = draft_faults(role, published, draft.signed, self._clock.utc())
            if found := found or change.content_faults(role, blobs=False):
                raise RepositoryError(
                    f"the draft of {role} is not signed", found=found[0], next_step="do not sign it"
                )
            for each in copies:
                change.take_over(role, read_metadata(each, role))
            if change.signers(role, draft):
                if not approve(differences(published, draft.signed)):
                    raise RepositoryError(f"nothing was signed: {role} was not approved")
                change.sign(role, draft)
            return change.publish(lost=lost)

    def rotate(self, role: str, wish: KeyChange, *, lost: bool = False) -> Outcome:
        """Give a role other keys, or another threshold, as far as the keys that have to sign this are here.

        Args:
            role: The role.
            wish: What is to change.
            lost: Whether a new root goes out although keys of the old one are gone.

        Raises:
            RepositoryError: There is no such role, or the keys do not fit.
        """
        with self._changing() as change:
            above = delegator_name(role)
            signed = change.edited(above)
            granted = role_of(signed, role)
            if granted is None:
                raise RepositoryError(
                    f"there is no role {role}",
                    expected=f"one of {', '.join((*TOP, *delegated(change.after)))}",
                )
            keys = other_keys(self.keys, role, list(keys_of(signed, role).values()), wish)
            threshold = granted.threshold if wish.threshold is None else wish.threshold
            grant(signed, role, keys, threshold, days_of(signed, role) if wish.days is None else wish.days)
            change.stage(above, signed)
            if role not in (ROOT, SNAPSHOT, TIMESTAMP) and not holds(role, change.before, change.after):
                change.stage(role, change.edited(role))
            return change.publish(lost=lost)

    def refresh(self, roles: Collection[str] = (), within_days: float | None = None) -> Outcome:
        """Sign anew, unchanged, what is over soon of the online roles, and all that is asked for by name.

        Args:
            roles: Offline or online ones that are signed anew in any case.
            within_days: What is soon; None for the second half of a role's time.

        Raises:
            RepositoryError: There is no such role, or an online key is not here.
        """
        with self._changing() as change:
            known = {*TOP, *delegated(change.after)}
            if unknown := set(roles) - known:
                raise RepositoryError(
                    f"there is no role {sorted(unknown)[0]}", expected=f"one of {', '.join(sorted(known))}"
                )
            due = {name for name in ONLINE if name in roles or self._is_due(change, name, within_days)}
            for name in sorted({*roles, *due} - {SNAPSHOT, TIMESTAMP}):
                change.stage(name, change.edited(name))
            due &= {SNAPSHOT, TIMESTAMP}
            return change.publish(due=due, urgent=bool(due))

    def flags(self) -> bytes | None:
        """Return the document of flags that is published, or None where none is.

        Raises:
            RepositoryError: There is no repository, or its files are missing.
            FlagError: What is published is no document of flags.
        """
        try:
            document = flags_document(self.storage, self._opened().before)
        except OSError as error:
            raise RepositoryError(
                f"the published flags cannot be read ({error.strerror or error})"
            ) from error
        return None if document is None else document.data

    def status(self) -> Status:
        """Return how the repository stands; every signature and every file is verified.

        Raises:
            RepositoryError: There is none, or metadata are missing or damaged.
        """
        looked_at = self._opened()
        roles = looked_at.before
        return Status(
            roles=role_states(roles),
            models=models(roles),
            flags_release=release(roles),
            waiting={name: looked_at.reason(name) for name in looked_at.drafts},
            faults=tuple(verified(self.storage, roles)) if roles else (),
        )

    @contextmanager
    def _changing(self) -> Iterator[Publication]:
        self._opened()  # where there is no repository, nothing is made to lock it
        with self.storage.locked():
            yield self._opened()

    def _opened(self, *, made: bool = True) -> Publication:
        found = Publication(self.storage, self.keys, self._clock.utc())
        if made and ROOT not in found.after:
            raise RepositoryError(
                f"there is no repository in {self.storage.folder}", next_step="edgeinfer repo init"
            )
        return found

    def _grant(self, delegator: Root | Targets, role: str, quorum: Quorum, days: Mapping[str, int]) -> None:
        keys = first_keys(self.keys, role, quorum)
        grant(delegator, role, keys, quorum.threshold, days.get(role, _DAYS.get(role, _DAYS_OFFLINE)))

    def _is_due(self, change: Publication, role: str, within_days: float | None) -> bool:
        if role not in change.before:
            return False
        signed = change.before[role].signed
        end = signed.expires.timestamp()
        soon = (end - issued(signed)) / 2 if within_days is None else within_days * _DAY_S
        return end - self._clock.utc() < soon or not holds(role, change.before, change.before)
