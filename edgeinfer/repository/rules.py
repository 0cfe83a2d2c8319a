"""What a repository's metadata may say: stricter than TUF, for those who sign and publish.

Invariants that hold where nothing is found:
* the role of the flags grants nothing but the document of flags, and a family's role nothing but its own manifests, so
  that a key that is stolen online cannot ship a model;
* no key that is online signs for a role that is offline, and none counts twice in a threshold;
* a manifest's name is its digest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from tuf.api.metadata import DelegatedRole, Root, Signed, Targets

from edgeinfer.errors import UpdateError
from edgeinfer.flags import Document
from edgeinfer.repository.changes import fingerprint, issued, keys_of
from edgeinfer.repository.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Roles, delegated, delegator
from edgeinfer.updates.layout import (
    FLAGS_PATHS,
    FLAGS_ROLE,
    FLAGS_TARGET,
    checked_family,
    family_paths,
    family_role,
)

ONLINE = (FLAGS_ROLE, SNAPSHOT, TIMESTAMP)
_FAMILY_ROLE = family_role("x")[:-1]
_CHOOSES = re.compile(r"(?:model|shadow)-(.+)")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_AHEAD_S = 300


def family_of(role: str) -> str:
    """Return the family whose manifests a role signs, or an empty text for other roles."""
    try:
        return checked_family(role.removeprefix(_FAMILY_ROLE)) if role.startswith(_FAMILY_ROLE) else ""
    except UpdateError:  # named like a family's role, and none
        return ""


def faults(roles: Roles) -> list[str]:
    """Return what metadata say and must not, a line each; whether they are signed is another question."""
    found = [f"{name}: {fault}" for name, each in roles.items() for fault in role_faults(name, each.signed)]
    return found + list(_shared_keys(roles))


def role_faults(name: str, signed: Signed) -> Iterator[str]:
    """Yield what the metadata of one role say and must not."""
    if isinstance(signed, Root):
        if not signed.consistent_snapshot:
            yield "consistent snapshots are off: devices that come in the midst of a change would fail"
    elif isinstance(signed, Targets) and name == TARGETS:
        yield from (f"it signs {path} itself: only its delegates may sign targets" for path in signed.targets)
        yield from _delegation_faults(signed)
    elif isinstance(signed, Targets):
        if signed.delegations is not None:
            yield "it grants roles of its own"
        yield from _target_faults(name, signed)


def draft_faults(name: str, before: Signed | None, draft: Signed, now: float) -> list[str]:
    """Return what is wrong with a draft that somebody is asked to sign.

    Args:
        name: Its role.
        before: What is published of it.
        draft: What is to be signed.
        now: In seconds since 1970.
    """
    found = list(role_faults(name, draft))
    if name == ROOT and draft.version != (before.version if before is not None else 0) + 1:
        found.append(f"version {draft.version} of the root leaves out one")
    earliest = issued(before) if before is not None else 1
    if not earliest <= issued(draft) <= now + _AHEAD_S:
        found.append("its time of issue lies before that of the published one, or in the future")
    if draft.expires.timestamp() <= now:
        found.append("it is over already")
    return found


def unsigned_digests(document: Document, offered: Mapping[str, Collection[str]]) -> list[str]:
    """Return where flags choose a model that no offline key has signed, a line each.

    Args:
        document: The flags; `model-FAMILY` and `shadow-FAMILY` name digests, or objects with a `digest`.
        offered: Digests by family, as the families' roles have signed them.
    """
    found = []
    for key, flag in document.flags.items():
        chooses = _CHOOSES.fullmatch(key)
        for variant, value in flag.variants.items() if chooses else ():
            digest = value.get("digest") if isinstance(value, dict) else value
            named = (isinstance(value, dict) and "digest" in value) or _is_digest(digest)
            signed = isinstance(digest, str) and chooses and digest in offered.get(chooses[1], ())
            if chooses and named and not signed:
                found.append(
                    f"flag {key}, variant {variant}: no key of family {chooses[1]} has signed {digest}"
                )
    return found


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _delegation_faults(targets: Targets) -> Iterator[str]:
    if targets.delegations is None or targets.delegations.roles is None:
        yield "it grants no roles by name"
        return
    if FLAGS_ROLE not in targets.delegations.roles:
        yield f"it does not grant {FLAGS_ROLE}"
    for name, role in targets.delegations.roles.items():
        expected = _paths(name)
        if not expected:
            yield f"it grants {name}, which is no role of a repository"
        elif tuple(role.paths or ()) != expected:
            yield f"it grants {name} {_shown(role)}, expected {', '.join(expected)}"
        elif not role.terminating:
            yield f"a search for targets of {name} goes on behind it"


def _paths(role: str) -> tuple[str, ...]:
    if role == FLAGS_ROLE:
        return FLAGS_PATHS
    family = family_of(role)
    return family_paths(family) if family else ()


def _shown(role: DelegatedRole) -> str:
    return ", ".join(role.paths) if role.paths else "targets by their hashes"


def _target_faults(name: str, signed: Targets) -> Iterator[str]:
    for path, target in signed.targets.items():
        digest = target.hashes.get("sha256", "")
        own = FLAGS_TARGET if name == FLAGS_ROLE else f"models/{family_of(name)}/{digest}.json"
        if path != own or not _is_digest(digest):
            yield f"it signs {path}, which is not its own, or not named by its digest"


def _shared_keys(roles: Roles) -> Iterator[str]:
    """Yield keys that two kinds of roles share, or that one role has twice."""
    online: dict[str, str] = {}
    offline: dict[str, str] = {}
    for name in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, *delegated(roles)):
        prints = [fingerprint(key) for key in keys_of(delegator(roles, name), name).values()]
        if len(set(prints)) < len(prints):
            yield f"{name}: one of its keys counts twice"
        (online if name in ONLINE else offline).update(dict.fromkeys(prints, name))
    for each in online.keys() & offline.keys():
        yield f"{online[each]}: its online key {each} also signs for {offline[each]}, which is offline"
