"""Exporters print and warn a great deal; it goes to the step's log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.host import output_to


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Send what a foreign exporter prints, logs or warns to the end of a file."""
    level = logging.root.manager.disable
    with output_to(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
