"""What a step knows, as a JSON file: a dataclass on one side, a file on the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from edgeinfer.bundle import decode, encode
from edgeinfer.host import atomic_file

T = TypeVar("T")


def save_json(value: object, path: Path) -> None:
    """Write a dataclass, whole or not at all."""
    with atomic_file(path) as file:
        file.write(json.dumps(encode(value), indent=2).encode())


def load_json(kind: type[T], path: Path) -> T:
    """Return the dataclass that a file holds.

    Raises:
        EdgeInferError: It has not its fields.
        OSError: It cannot be read.
        ValueError: It is no JSON.
    """
    return decode(kind, json.loads(path.read_text()), where=path.name)
