"""What a publisher asks for: a repository that is to be made, other keys for a role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from securesystemslib.signer import Key

from edgeinfer.errors import RepositoryError
from edgeinfer.frozen import frozen
from edgeinfer.repository.changes import key_name
from edgeinfer.repository.keys import Keys

_ID_LENGTH = 8


@frozen
class Quorum:
    """How many of how many keys have to sign.

    Attributes:
        threshold: How many.
        keys: Of how many.
    """

    threshold: int = 2
    keys: int = 3


ONE, TWO_OF_THREE = Quorum(1, 1), Quorum()


@frozen
class Plan:
    """A repository that is to be made.

    Attributes:
        root: The keys of the root.
        targets: The keys of the role that grants the families.
        families: Of models, with their keys; more can be added later.
        days: For how long metadata hold, by role; others hold 365 days, snapshot and flags 30, timestamp 7.
    """

    root: Quorum = TWO_OF_THREE
    targets: Quorum = TWO_OF_THREE
    families: Mapping[str, Quorum] = field(default_factory=dict)
    days: Mapping[str, int] = field(default_factory=dict)


@frozen
class KeyChange:
    """Other keys for a role; where none is added or removed and nothing else changes, all are replaced by new ones.

    Attributes:
        add: Names of keys, made where there are none.
        remove: Names of keys, or the first 8 digits or more of their ids.
        threshold: How many have to sign from now on; None leaves it.
        days: For how long the role's metadata hold from now on; None leaves it.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    threshold: int | None = None
    days: int | None = None


def first_keys(keys: Keys, role: str, quorum: Quorum) -> list[Key]:
    """Return the keys that are named for a role, which are made where there are none.

    Raises:
        RepositoryError: There are some, and not as many as are wanted.
    """
    found = keys.of_role(role)
    if found and len(found) != quorum.keys:
        raise RepositoryError(
            f"keys of {role} in {keys.folder}",
            found=f"{len(found)}: {', '.join(map(key_name, found))}",
            expected=f"{quorum.keys}, or none, to have them made",
            next_step=f"edgeinfer repo key {role}-N adds one",
        )
    return found or [keys.make(f"{role}-{number}") for number in range(1, quorum.keys + 1)]


def other_keys(keys: Keys, role: str, old: Sequence[Key], wish: KeyChange) -> list[Key]:
    """Return a role's keys after a change; new ones are made.

    Raises:
        RepositoryError: A key that is to go is none of the role's.
    """
    if wish == KeyChange():
        taken = {*keys.names(), *map(key_name, old)}
        free = (f"{role}-{number}" for number in range(1, len(taken) + len(old) + 1))
        return [keys.make(name) for name in [each for each in free if each not in taken][: len(old)]]
    gone = [_named(name, role, old) for name in wish.remove]
    there = keys.names()
    added = [keys.key(name) if name in there else keys.make(name) for name in wish.add]
    return [key for key in old if key not in gone] + added


def _named(name: str, role: str, keys: Sequence[Key]) -> Key:
    for key in keys:
        if key_name(key) == name or (len(name) >= _ID_LENGTH and key.keyid.startswith(name)):
            return key
    raise RepositoryError(f"{role} has no key {name}", expected=f"one of {', '.join(map(key_name, keys))}")
