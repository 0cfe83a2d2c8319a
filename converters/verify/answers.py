"""What every model says of every test item, kept so that nobody asks twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANSWERS = "answers.npz"
_VARIANT = "variant/"
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Everybody's answers to the test split, in its order; columns are the data's classes, in its order.

    Attributes:
        labels: `(N,) int64` true classes.
        teacher: `(N, classes) float32` logits of the teacher.
        student: `(N, classes) float32` logits of the PyTorch student.
        variants: `(N, classes) float32` logits by variant id, run by the engine that ships.
    """

    labels: NDArray[np.int64]
    teacher: Logits
    student: Logits
    variants: Mapping[str, Logits]


def load_answers(path: Path) -> Answers:
    """Return what the verify step wrote."""
    with np.load(path) as arrays:
        variants = {name.removeprefix(_VARIANT): arrays[name] for name in arrays if name.startswith(_VARIANT)}
        return Answers(arrays["labels"], arrays["teacher"], arrays["student"], variants)


def write_answers(path: Path, answers: Answers) -> None:
    """Write answers as one `.npz`: `labels`, `teacher`, `student` and `variant/<id>`."""
    arrays: dict[str, NDArray[Any]] = {f"{_VARIANT}{name}": each for name, each in answers.variants.items()}
    arrays |= {"labels": answers.labels, "teacher": answers.teacher, "student": answers.student}
    np.savez(path, allow_pickle=False, **arrays)
