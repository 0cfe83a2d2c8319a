"""Exporters print and warn a great deal; it goes to the step's log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.errors import ConversionError, EdgeInferError
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


@contextmanager
def told(path: Path, what: str) -> Iterator[None]:
    """Do the same, and turn what a foreign tool raises into an error that names the file.

    Args:
        path: The log.
        what: What fails, the start of a sentence.

    Raises:
        ConversionError: Something failed that does not say so itself.
    """
    try:
        with logged(path):
            yield
    except EdgeInferError:
        raise
    except Exception as error:  # exporters and quantizers raise whatever their passes raise
        raise ConversionError(
            f"{what} failed ({error})", next_step=f"the whole story is in {path}"
        ) from error
