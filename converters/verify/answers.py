"""The test step: what every model says of every test item, kept so that nobody asks twice.

The draft bundle is loaded as an app loads it, and an answer counts by the label that the app would
see, so that what is said of a variant holds for its file, its binding, its labels and its engine together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.data.dataset import load_record, load_split
from converters.distill.answers import PLAIN, teacher_answers
from converters.distill.student import load_student
from converters.distill.training import logits
from converters.export.artifacts import MODELS, load_artifacts
from converters.export.float_models import INPUT, OUTPUT
from converters.quiet import logged
from converters.steps import Context, Step
from edgeinfer.bundle import encode, open_bundle
from edgeinfer.errors import ConversionError
from edgeinfer.preprocess import Preprocessor

ANSWERS = "answers.npz"
_CHUNK = 256
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

    def hits(self, given: Logits) -> NDArray[np.bool_]:
        """Return `(N,) bool`, whether logits name the true class; see `converters.verify.paired`."""
        return np.asarray(given.argmax(1) == self.labels)


def load_answers(path: Path) -> Answers:
    """Return what the test step wrote."""
    with np.load(path) as arrays:
        variants = {name.removeprefix(_VARIANT): arrays[name] for name in arrays if name.startswith(_VARIANT)}
        return Answers(arrays["labels"], arrays["teacher"], arrays["student"], variants)


def write_answers(path: Path, answers: Answers) -> None:
    """Write answers as one `.npz`: `labels`, `teacher`, `student` and `variant/<id>`."""
    arrays: dict[str, NDArray[Any]] = {f"{_VARIANT}{name}": each for name, each in answers.variants.items()}
    arrays |= {"labels": answers.labels, "teacher": answers.teacher, "student": answers.student}
    np.savez(path, allow_pickle=False, **arrays)


def variant_outputs(path: Path, variant: str, tensors: Logits) -> dict[str, NDArray[np.float32]]:
    """Return `(N, ...) float32` by output name of a bundle's variant, through the public runtime."""
    with ei.load(path, variant=variant, measure=False, self_test=False) as model:
        parts = [
            model.run({INPUT: tensors[start : start + _CHUNK]}) for start in range(0, len(tensors), _CHUNK)
        ]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}


def class_logits(path: Path, variant: str, tensors: Logits, classes: Sequence[str]) -> Logits:
    """Return `(N, classes) float32` logits of a bundle's variant, columns in the order of the data's classes.

    Raises:
        ConversionError: The bundle's labels are others.
    """
    with open_bundle(path) as bundle:
        columns = label_columns(bundle.manifest.outputs[0].labels or (), classes)
    return variant_outputs(path, variant, tensors)[OUTPUT][:, columns]


def label_columns(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return which column of a model's output is which class of the data, by name.

    Args:
        labels: The bundle's labels, one a column.
        classes: The data's classes.

    Raises:
        ConversionError: The names are not the same.
    """
    if sorted(labels) != sorted(classes):
        odd = sorted(set(labels) ^ set(classes)) or sorted(labels)
        raise ConversionError(
            "the draft bundle's labels are not the data's classes",
            found=f"{len(labels)} labels, {', '.join(odd[:4])} in one of them alone",
            expected=f"the {len(classes)} classes of the data",
            next_step="run again from the draft step: --from-step draft",
        )
    return [list(labels).index(name) for name in classes]


def _run(context: Context) -> None:
    recipe, record = context.recipe, load_record(context.needs)
    test, draft = load_split(context.needs, "test"), context.needs["draft.eib"]
    preprocess = Preprocessor(recipe.input.steps())
    network = load_student(recipe, len(record.classes), context.needs["student.pt"])
    tensors = preprocess.tensors(test.items)
    artifacts = load_artifacts(context.needs[MODELS])
    variants: dict[str, Logits] = {}
    with context.report.bar("asking variants", len(artifacts)) as bar:
        for artifact in artifacts:
            with logged(context.scratch / "test.log"):
                variants[artifact.id] = class_logits(draft, artifact.id, tensors, record.classes)
            bar.advance(note=artifact.id)
    teacher = teacher_answers(context.needs[PLAIN], "test")
    answers = Answers(test.labels, teacher, logits(network, test, preprocess), variants)
    write_answers(context.give(ANSWERS), answers)


TEST = Step(
    "test",
    ("items.npy", "splits.npz", "data.json", PLAIN, "student.pt", "draft.eib", MODELS),
    (ANSWERS,),
    lambda recipe: {"input": encode(recipe.input)},
    _run,
)
