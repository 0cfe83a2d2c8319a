"""Which roles hold together: who signs a role, whether enough of them have, and what can be published as it is.

Roles are metadata by name: `root`, `targets`, `snapshot`, `timestamp`, `flags`, and one for each family of models.
A repository is two of them: what is published, and the drafts that still gather signatures.

Invariants of what `publishable` returns, together with what is published:
* each role is signed by enough of the keys of whoever grants it, in the form that is published with it;
* where the root changes, old and new root both accept it, and the targets too, so that a device finds a whole
  repository whichever root it has; `lost` gives that up for the targets, for keys that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from edgeinfer.repository.changes import key_name, role_of

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
TOP = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
Roles = Mapping[str, Metadata[Any]]


def delegator_name(name: str) -> str:
    """Return the role that says who signs a role."""
    return ROOT if name in TOP else TARGETS


def delegator(roles: Roles, name: str) -> Root | Targets | None:
    """Return the metadata that say who signs a role, or None where there are none yet."""
    found = roles.get(delegator_name(name))
    signed: Root | Targets | None = found.signed if found is not None else None
    return signed


def delegated(roles: Roles) -> list[str]:
    """Return the names of the roles that the targets role grants."""
    targets = roles[TARGETS].signed if TARGETS in roles else None
    if targets is None or targets.delegations is None:
        return []
    return list(targets.delegations.roles or {})


def judges(name: str, before: Roles, after: Roles, *, lost: bool = False) -> list[Root | Targets | None]:
    """Return all who have to accept a role when `after` follows on `before`."""
    new = delegator(after, name)
    old = delegator(before, name) if name in TOP and (name == ROOT or not lost) else None
    same = old is None or new is None or old.version == new.version
    return [new] if same else [old, new]


def accepted(judge: Root | Targets | None, name: str, metadata: Metadata[Any] | None) -> bool:
    """Whether enough of a role's keys have signed."""
    if judge is None or metadata is None or role_of(judge, name) is None:
        return False
    return bool(judge.get_verification_result(name, metadata.signed_bytes, metadata.signatures))


def holds(name: str, before: Roles, after: Roles, *, lost: bool = False) -> bool:
    """Whether all who have to accept a role do."""
    return all(accepted(judge, name, after.get(name)) for judge in judges(name, before, after, lost=lost))


def publishable(before: Roles, drafts: Roles, *, lost: bool = False) -> dict[str, Metadata[Any]]:
    """Return the drafts that can be published together, and leave a repository in which every role holds."""
    chosen = dict(drafts)
    while (culprit := _culprit(before, chosen, lost)) is not None:
        del chosen[culprit]
    return chosen


def _culprit(before: Roles, chosen: Roles, lost: bool) -> str | None:
    """Return a draft that is not signed by enough, or leaves a role behind that is not signed by its new keys."""
    after = {**before, **chosen}
    for name in sorted({ROOT, TARGETS, *delegated(after), *chosen}):
        if holds(name, before, after, lost=lost):
            continue
        above = delegator_name(name)
        if name in chosen and (
            name == above or not holds(name, before, {**before, name: chosen[name]}, lost=lost)
        ):
            return name
        if above in chosen:
            return above
    return None


def waiting_for(name: str, before: Roles, drafts: Roles) -> str:
    """Return how far the signatures of a draft are, and who has yet to sign."""
    after = {**before, **drafts}
    draft, told = drafts[name], []
    for judge in judges(name, before, after):
        role = role_of(judge, name)
        if judge is None or role is None:
            told.append(f"{delegator_name(name)} does not grant it")
            continue
        found = judge.get_verification_result(name, draft.signed_bytes, draft.signatures)
        left = ", ".join(key_name(key) for key in found.unsigned.values())
        told.append(
            f"{len(found.signed)} of {found.threshold} signatures" + (f" (left: {left})" if left else "")
        )
    return "; by its new keys ".join(told)
