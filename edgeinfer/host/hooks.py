"""Hooks: an app's own code, which is told of something and may raise anything."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

Record = TypeVar("Record")


def tell(hook: Callable[[Record], object] | None, record: Record, name: str) -> bool:
    """Call a hook of the caller's; what it raises is a warning, since an answer must not be lost to it.

    Returns:
        False where it raised.
    """
    if hook is None:
        return True
    try:
        hook(record)
    except Exception as error:  # the caller's own code may raise anything
        warnings.warn(f"{name} raised {error!r}", RuntimeWarning, stacklevel=2)
        return False
    return True
