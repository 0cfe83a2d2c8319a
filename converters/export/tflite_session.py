"""LiteRT as converters look into files with it: on one thread, with every tensor kept to be read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

# XNNPACK's nodes stand behind the file's own, under this name.
_DELEGATED = "DELEGATE"


def tflite_session(path: Path) -> Any:
    """Return an `ai_edge_litert` interpreter of a file, ready to be fed.

    Raises:
        Exception: Whatever the runtime raises, which shares no base.
    """
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        # It warns that this takes memory and is meant for debugging.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def tflite_operators(interpreter: Any) -> list[dict[str, Any]]:
    """Return the file's operators in the order in which they run: `op_name`, and indices of `inputs` and `outputs`."""
    return [each for each in interpreter._get_ops_details() if each["op_name"] != _DELEGATED]
