"""How a repository stands: its roles, what is over soon, what it offers, and whether every signature and file holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata

from edgeinfer.errors import EdgeInferError
from edgeinfer.frozen import frozen
from edgeinfer.repository.changes import issued, key_name, keys_of, role_of
from edgeinfer.repository.content import flags_document, offered, target_faults
from edgeinfer.repository.roles import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TOP,
    Roles,
    accepted,
    delegated,
    delegator,
)
from edgeinfer.repository.rules import ONLINE, family_of, faults, unsigned_digests
from edgeinfer.repository.storage import Storage
from edgeinfer.updates.layout import FLAGS_ROLE, FLAGS_TARGET

_DAY_S = 86_400


@frozen
class RoleState:
    """A role, as it is published.

    Attributes:
        name: The role.
        version: Of its metadata.
        issued: When it was signed, in seconds since 1970.
        expires: When it is over, likewise.
        threshold: How many of its keys have to sign.
        signed: How many have.
        keys: What they are called.
    """

    name: str
    version: int
    issued: int
    expires: float
    threshold: int
    signed: int
    keys: tuple[str, ...]


@frozen
class Model:
    """A bundle that its family's keys have signed: devices may choose it."""

    family: str
    digest: str
    name: str
    version: str


@frozen
class Status:
    """How a repository stands.

    Attributes:
        roles: The root first.
        models: What is offered, by family.
        flags_release: The release of the flags, or None where there are none.
        waiting: Why each draft is not published, by role.
        faults: What does not hold, a line each.
    """

    roles: tuple[RoleState, ...]
    models: tuple[Model, ...]
    flags_release: int | None
    waiting: Mapping[str, str]
    faults: tuple[str, ...]


def alarms(roles: Sequence[RoleState], now: float, days: float) -> list[str]:
    """Return what is over soon, the root first, a line each.

    Args:
        roles: As they are published.
        now: In seconds since 1970.
        days: How long before its end a role is told of; an online role in the last quarter of its time at the latest.
    """
    found = []
    for role in sorted(roles, key=lambda each: (each.name != ROOT, each.expires)):
        left = role.expires - now
        soon = days * _DAY_S
        if role.name in ONLINE:  # which a timer renews in the second half of its time
            soon = min(soon, (role.expires - role.issued) / 4)
        if left >= soon:
            continue
        when = (
            f"expires in {left / _DAY_S:.1f} days" if left > 0 else f"EXPIRED {-left / _DAY_S:.1f} days ago"
        )
        command = "edgeinfer repo refresh" + ("" if role.name in ONLINE else f" {role.name}")
        if role.name == ROOT:
            found.append(f"!!! THE ROOT {when}: without it no device takes any update: {command}")
        else:
            found.append(f"{role.name} {when}: {command}")
    return found


def role_states(roles: Roles) -> tuple[RoleState, ...]:
    """Return the roles that are published, the root first."""
    return tuple(_state(name, roles) for name in (*TOP, *sorted(delegated(roles))) if name in roles)


def models(roles: Roles) -> tuple[Model, ...]:
    """Return what is offered, by family."""
    found = []
    for name in sorted(delegated(roles)):
        for target in roles[name].signed.targets.values() if family_of(name) and name in roles else ():
            custom = target.custom if isinstance(target.custom, Mapping) else {}
            told = [str(custom.get(field, "")) for field in ("name", "version")]
            found.append(Model(family_of(name), target.hashes.get("sha256", ""), *told))
    return tuple(found)


def release(roles: Roles) -> int | None:
    """Return the release of the flags that are published, or None where there are none."""
    target = roles[FLAGS_ROLE].signed.targets.get(FLAGS_TARGET) if FLAGS_ROLE in roles else None
    custom = target.custom if target is not None and isinstance(target.custom, Mapping) else {}
    told = str(custom.get("version", ""))
    return int(told) if told.isdecimal() else None


def verified(storage: Storage, roles: Roles) -> Iterator[str]:
    """Yield what does not hold in a folder: signatures from the first root on, rules, targets, blobs and flags.

    Args:
        storage: The files.
        roles: What is published.
    """
    yield from _chain(storage, roles[ROOT])
    for name in (TARGETS, SNAPSHOT, TIMESTAMP, *delegated(roles)):
        if not accepted(delegator(roles, name), name, roles.get(name)):
            yield f"{name} is not signed by enough of its keys: edgeinfer repo refresh {name}"
    yield from _references(storage, roles)
    found = faults(roles)
    yield from found
    if found:  # names of files are not to be trusted
        return
    for name in delegated(roles):
        for target in roles[name].signed.targets.values() if name in roles else ():
            yield from target_faults(storage, target)
    try:
        document = flags_document(storage, roles)
    except (EdgeInferError, OSError) as error:
        yield f"flags: {error}"
    else:
        if document is not None and document.version != release(roles):
            yield f"flags: signed as release {release(roles)}, and are {document.version}"
        yield from unsigned_digests(document, offered(roles)) if document is not None else ()


def _state(name: str, roles: Roles) -> RoleState:
    metadata, judge = roles[name], delegator(roles, name)
    role = role_of(judge, name)
    signed = 0
    if judge is not None and role is not None:
        told = judge.get_verification_result(name, metadata.signed_bytes, metadata.signatures)
        signed = len(told.signed)
    return RoleState(
        name=name,
        version=metadata.signed.version,
        issued=issued(metadata.signed),
        expires=metadata.signed.expires.timestamp(),
        threshold=role.threshold if role is not None else 0,
        signed=signed,
        keys=tuple(key_name(key) for key in keys_of(judge, name).values()),
    )


def _chain(storage: Storage, last: Metadata[Any]) -> Iterator[str]:
    """Yield what does not hold from one root to the next: a device may have any of them."""
    previous = None
    for version in range(1, last.signed.version + 1):
        try:
            root = storage.version(ROOT, version)
        except EdgeInferError as error:
            yield f"{error}"
            previous = None
            continue
        judges = [each.signed for each in (previous, root) if each is not None]
        if root.signed.version != version:
            yield f"{storage.metadata_path(ROOT, version)} is version {root.signed.version}"
        elif not all(accepted(judge, ROOT, root) for judge in judges):
            yield f"root {version} is not signed by enough keys of its own and of the root before"
        previous = root


def _references(storage: Storage, roles: Roles) -> Iterator[str]:
    """Yield metadata that are not the ones which snapshot and timestamp name."""
    named = {SNAPSHOT: roles[TIMESTAMP].signed.snapshot_meta}
    named |= {name.removesuffix(".json"): meta for name, meta in roles[SNAPSHOT].signed.meta.items()}
    for name, meta in named.items():
        path = storage.metadata_path(name, meta.version)
        try:
            meta.verify_length_and_hashes(path.read_bytes())
        except LengthOrHashMismatchError as error:
            yield f"{path}: {error}"
        if roles[name].signed.version != meta.version:
            yield f"{path} is version {roles[name].signed.version}"
