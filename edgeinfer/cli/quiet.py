"""LiteRT prints a line from native code whenever it loads a model; a command keeps that off the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.host import output_to


@contextmanager
def quiet_engines() -> Iterator[None]:
    """Drop what native code prints in this block; errors are raised as ever."""
    with output_to(Path(os.devnull)):
        yield
