"""Modules imported when they are first needed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

# OpenBLAS: the logarithm of the cycles for which an idle thread spins, 4 at least.
_SPINNING, _NOT_AT_ALL = "OPENBLAS_THREAD_TIMEOUT", "4"


def lazily(package: str, homes: dict[str, str]) -> Callable[[str], object]:
    """Return a package's `__getattr__` (PEP 562), which imports the module that a name stands in when it is asked for.

    Args:
        package: The package's `__name__`.
        homes: Module by name; within the package.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(imported(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # so that it is asked for once
        return value

    return get


def imported(name: str) -> ModuleType:
    """Import a module, as cheaply as a start can.

    The garbage collector pauses. Importing makes objects that stay, which is what it looks through again and again
    meanwhile: without it numpy, Pillow and an engine take 70 ms instead of 80. It would look through all of them once
    more at the first chance afterwards, 8 ms in the middle of a program's first answer, so they count as old ones.

    The threads that numpy's OpenBLAS starts wait for work asleep: left to themselves they spin for 2^26 cycles, first
    of all beside the rest of the start. What the environment says of it goes first, and nothing changes where numpy is
    there already.

    Raises:
        ImportError: As the import raises it.
    """
    collecting = gc.isenabled()
    gc.disable()
    told = "numpy" in sys.modules or _SPINNING in os.environ
    if not told:
        os.environ[_SPINNING] = _NOT_AT_ALL
    try:
        return import_module(name)
    finally:
        if not told:
            os.environ.pop(_SPINNING, None)
        if collecting:
            _all_old()
            gc.enable()


def _all_old() -> None:
    """Put all objects into the oldest generation, which is collected in its turn, without a look at any of them."""
    if gc.get_count()[0] > gc.get_threshold()[0] and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
