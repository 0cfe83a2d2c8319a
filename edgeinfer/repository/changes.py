"""Metadata that are not signed yet: their dates, who may sign what, and what is other than before.

The functions that change something change what they are handed, which is a copy that nobody has signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, Role, Root, Signed, TargetFile, Targets

from edgeinfer.errors import RepositoryError, printable
from edgeinfer.updates.layout import ISSUED

# Of our own: what a key is called, and for how many days a role's metadata hold, which those say who grant the role.
NAME, DAYS = "x-edgeinfer-name", "x-edgeinfer-days"
_DAY_S = 86_400
_SHOWN = 200


def stamp(signed: Signed, version: int, now: float, days: int) -> None:
    """Say of metadata which version they are, when they were made, and when they are over.

    Args:
        signed: What is going to be signed.
        version: From 1 on.
        now: In seconds since 1970.
        days: For how long they hold.
    """
    issued = int(now)
    signed.version = version
    signed.unrecognized_fields[ISSUED] = issued
    signed.expires = datetime.fromtimestamp(issued + days * _DAY_S, UTC)


def issued(signed: Signed) -> int:
    """Return when metadata were made, in seconds since 1970; 0 where they do not say."""
    at = signed.unrecognized_fields.get(ISSUED)
    return at if isinstance(at, int) and not isinstance(at, bool) else 0


def key_name(key: Key) -> str:
    """Return what a key is called."""
    return str(key.unrecognized_fields.get(NAME) or key.keyid[:12])


def delegate(targets: Targets, name: str, paths: Sequence[str]) -> None:
    """Add a role that has no keys yet; a search for a target of its paths ends with it."""
    delegations = targets.delegations or Delegations({}, {})
    assert delegations.roles is not None, "rules refuse succinct roles"
    delegations.roles[name] = DelegatedRole(name, [], 1, terminating=True, paths=list(paths))
    targets.delegations = delegations


def grant(delegator: Root | Targets, name: str, keys: Sequence[Key], threshold: int, days: int) -> None:
    """Say which keys sign a role from now on, how many of them have to, and for how many days that holds.

    Raises:
        RepositoryError: The threshold cannot be met, two keys share an id, or the days are none.
    """
    if not 1 <= threshold <= len(keys):
        raise RepositoryError(
            f"the threshold of {name}",
            found=f"{threshold} of {len(keys)} keys",
            expected="1 to all of its keys",
        )
    role = role_of(delegator, name)
    assert role is not None, "the role was delegated"
    for keyid in list(role.keyids):
        delegator.revoke_key(keyid, name)
    for key in keys:
        if known_keys(delegator).get(key.keyid, key).keyval != key.keyval or key.keyid in role.keyids:
            raise RepositoryError(f"key {key_name(key)} has the id of another", next_step="make another key")
        delegator.add_key(key, name)
    role.threshold = threshold
    role.unrecognized_fields[DAYS] = days
    days_of(delegator, name)


def role_of(delegator: Root | Targets | None, name: str) -> Role | None:
    """Return who may sign a role, or None where that is not said here."""
    if isinstance(delegator, Root):
        return delegator.roles.get(name)
    if delegator is None or delegator.delegations is None:
        return None
    return (delegator.delegations.roles or {}).get(name)


def known_keys(delegator: Root | Targets) -> dict[str, Key]:
    """Return the keys of all roles that are granted here, by id."""
    if isinstance(delegator, Root):
        return delegator.keys
    return delegator.delegations.keys if delegator.delegations is not None else {}


def keys_of(delegator: Root | Targets | None, name: str) -> dict[str, Key]:
    """Return the keys of a role, by id."""
    role = role_of(delegator, name)
    if delegator is None or role is None:
        return {}
    known = known_keys(delegator)
    return {keyid: known[keyid] for keyid in role.keyids if keyid in known}


def days_of(delegator: Root | Targets | None, name: str) -> int:
    """Return for how many days a role's metadata hold.

    Raises:
        RepositoryError: That is not said, or no number of days.
    """
    role = role_of(delegator, name)
    days = role.unrecognized_fields.get(DAYS) if role is not None else None
    if not isinstance(days, int) or not 1 <= days <= 36_500:
        raise RepositoryError(f"how many days {name} holds", found=days, expected="1 to 36500")
    return days


def differences(before: Signed | None, after: Signed) -> list[str]:
    """Return what is other in metadata than in those before, a line each, for whoever is to sign them."""
    old, new = _told(before) if before is not None else {}, _told(after)
    lines = [f"- {name}{_value(old[name])}" for name in old if name not in new]
    lines += [f"+ {name}{_value(new[name])}" for name in new if name not in old]
    lines += [
        f"~ {name}: {old[name]} -> {new[name]}" for name in old if name in new and old[name] != new[name]
    ]
    return [printable(line) for line in lines]


def _value(value: str) -> str:
    return f": {value}" if value else ""


def _told(signed: Signed) -> dict[str, str]:
    """Return all that metadata say, by what it is about."""
    told: dict[str, str] = {}
    for name, value in signed.to_dict().items():
        if name not in {"_type", "keys", "roles", "delegations", "targets"}:
            told[name] = _date(value) if name == ISSUED else _text(value)
    if isinstance(signed, Root):
        for role in sorted(signed.roles):
            told |= _of_role(signed, role)
    elif isinstance(signed, Targets):
        for role in (signed.delegations.roles or {}) if signed.delegations is not None else ():
            told |= _of_role(signed, role)
        if signed.delegations is not None and signed.delegations.succinct_roles is not None:
            told["succinct roles"] = _text(signed.delegations.succinct_roles.to_dict())
        told |= {path: _of_target(target) for path, target in signed.targets.items()}
    return told


def _of_role(delegator: Root | Targets, name: str) -> dict[str, str]:
    role = role_of(delegator, name)
    assert role is not None, "it was listed"
    rest = {each: _text(value) for each, value in role.to_dict().items() if each not in {"name", "keyids"}}
    told = {f"role {name}, {each}": value for each, value in rest.items()}
    for key in keys_of(delegator, name).values():
        told[f"role {name}, key {key_name(key)} ({fingerprint(key)})"] = ""
    return told


def fingerprint(key: Key) -> str:
    """Return what tells a public key from others: its kind, and the first digits of a SHA-256."""
    public = json.dumps(key.keyval, sort_keys=True).encode()
    return f"{key.scheme} {hashlib.sha256(public).hexdigest()[:16]}"


def _of_target(target: TargetFile) -> str:
    custom = target.custom if isinstance(target.custom, Mapping) else {}
    told = "".join(f"{name} {_text(value)}, " for name, value in custom.items())
    hashes = ", ".join(f"{name} {value}" for name, value in target.hashes.items())
    return f"{told}{target.length} bytes, {hashes}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"


def _date(value: Any) -> str:
    if not isinstance(value, int) or not 0 <= value < 253_402_300_800:  # the year 10000
        return _text(value)
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
