"""Policies as they are written: an app's in a file, a release manager's in remote config.

Invariants:
* each is checked key by key; one that is unknown is refused, since it may have meant a ban.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from edgeinfer.bundle import Dialect, decode, unique_keys
from edgeinfer.errors import PolicyError
from edgeinfer.fallback.policy import Policy, RemotePolicy

_MAX_BYTES = 1024 * 1024


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy from TOML, or from JSON where the name ends in `.json`.

    Raises:
        PolicyError: It cannot be read, has a key that is unknown, or a value out of range.
    """
    policy: Policy = _read(Policy, _parsed(Path(path)), str(path))
    return policy


def read_remote_policy(document: object) -> RemotePolicy:
    """Read a remote policy from parsed JSON.

    Raises:
        PolicyError: It has a key that is unknown, or a value of another type. Whoever gets it stays with what holds.
    """
    policy: RemotePolicy = _read(RemotePolicy, document, "remote policy")
    return policy


def _read(kind: type[Any], document: object, where: str) -> Any:
    return decode(kind, document, where=where, dialect=Dialect(PolicyError, True, "see docs/cloud.md"))


def _parsed(path: Path) -> object:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES or not path.is_file():
            raise PolicyError(
                f"policy {path}", found=f"{size} bytes", expected=f"a file of at most {_MAX_BYTES}"
            )
        text = path.read_bytes().decode()
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=unique_keys)
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise PolicyError(
            f"policy {path} cannot be read ({error})", next_step="write it as TOML or JSON"
        ) from error
