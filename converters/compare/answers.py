"""What a model says of items, one after the other, through the public runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from edgeinfer.errors import DataError, EngineError, InputError


@dataclass(frozen=True)
class Named:
    """One model's answer for one item.

    Attributes:
        label: The class it names, None where it gave no answer.
        confidence: Of that class, 0..1.
        refused: Why there is no answer.
    """

    label: str | None
    confidence: float = 0.0
    refused: str = ""


def ask(model: ei.Model, content: bytes | NDArray[np.uint8] | Mapping[str, str]) -> Named:
    """Return a model's answer; an item that it cannot take, or fails on, has none.

    Raises:
        InputError: The model names no classes at all.
    """
    try:
        prediction = model.predict(content)
    except (InputError, EngineError) as error:
        return Named(None, refused=str(error))
    if prediction.label is None or prediction.confidence is None:
        raise InputError(
            f"{model.manifest.name} {model.manifest.version} names no class for an item",
            expected="a model whose output has softmax among its postprocessing",
        )
    return Named(prediction.label, prediction.confidence)


def check_labels(labels: set[str], model: ei.Model, path: Path) -> None:
    """Refuse items of classes of which the model knows none: they are another task's.

    Raises:
        DataError: Not one class is the model's.
    """
    known = set(model.labels or ())
    if labels and not labels & known:
        raise DataError(
            f"{path} has no class of {model.manifest.name} {model.manifest.version}",
            found=", ".join(sorted(labels)[:6]),
            expected=f"some of {', '.join(sorted(known)[:6])}{', ...' if len(known) > 6 else ''}",
            next_step="name the folders as the model's labels: `edgeinfer inspect` shows them",
        )
