"""The answers step: what the teacher says of every view of the training items, asked once.

Answers are kept by content in the cache that conversions side by side share: a run that asks the same
teacher the same question finds them, and a killed run goes on with the next view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.class_order import check_order
from converters.data.dataset import Examples, item_digests, load_record, load_split, load_unlabelled
from converters.data.sources import UNLABELLED
from converters.distill.compute import in_key
from converters.distill.stored import read_stored, stored_for
from converters.distill.teacher import ARCHIVE, RECORD, TeacherMember, load_members, load_teacher_record
from converters.distill.teachers import Answer, answer_of, logarithm, logarithm_of, mean_of, mirrored
from converters.distill.training import logits
from converters.distill.views import Blend, Views
from converters.recipe import Recipe
from converters.steps import Context, Step
from converters.tools import tool_versions
from edgeinfer.bundle import canonical_json, encode
from edgeinfer.host import atomic_file
from edgeinfer.preprocess import Preprocessor

VIEWS = "teacher-views.npy"
PLAIN = "teacher-answers.npz"
# Items without variation that others are measured against.
_PLAIN_SPLITS = ("validation", "test")
_BATCH = 256


def training_views(context: Context) -> Views:
    """Return the views of the training split, and of unlabelled items behind it, that teacher and student share."""
    recipe, training = context.recipe, load_split(context.needs, "train")
    unlabelled = load_unlabelled(context.needs)
    items, labels = training.items, training.labels
    if len(unlabelled.labels):
        items = np.concatenate([items, unlabelled.items])
        labels = np.concatenate([labels, unlabelled.labels])
    blend = Blend(recipe.student.mixup, recipe.student.cutmix)
    return Views(items, labels, recipe.augment, blend, recipe.seed)


def _training_digests(needs: Mapping[str, Path]) -> list[str]:
    """Return the digests of what is in the views, in the order of their rows."""
    return item_digests(needs, "train") + item_digests(needs, UNLABELLED)


def load_views(path: Path) -> torch.Tensor:
    """Return `(views, N, classes) float32` logits of the teacher."""
    return torch.from_numpy(np.load(path))


def teacher_answers(path: Path, split: str) -> NDArray[np.float32]:
    """Return `(N, classes) float32` logits of the teacher for `validation` or `test`, as the items are."""
    with np.load(path) as arrays:
        answers: NDArray[np.float32] = arrays[split]
    return answers


def _settings(recipe: Recipe) -> object:
    return {**_view_settings(recipe), "views": recipe.teacher.views}


def _view_settings(recipe: Recipe) -> dict[str, object]:
    teacher, student = recipe.teacher, recipe.student
    return {
        "input": encode(recipe.input.of_items()),
        "augment": encode(recipe.augment),
        "blend": [student.mixup, student.cutmix],
        "mirror": teacher.mirror,
        "precision": in_key(teacher.precision),
        "seed": recipe.seed,
    }


def _run(context: Context) -> None:
    views, count = training_views(context), context.recipe.teacher.views
    classes = len(load_record(context.needs).classes)
    told = load_teacher_record(context.needs[RECORD]).members
    members = [
        _member(context, member, data)
        for member, (_, data) in zip(told, load_members(context.needs[ARCHIVE]), strict=True)
    ]
    plain = {
        split: mean_of([torch.from_numpy(ask.split(split)) for ask in members]).numpy()
        for split in _PLAIN_SPLITS
    }
    record, known = load_record(context.needs), load_split(context.needs, "validation").labels
    check_order(known, plain["validation"].argmax(1), record.classes, "teacher")
    with context.give(PLAIN).open("wb") as file:
        np.savez(file, **plain)  # type: ignore[arg-type]
    shape = (count, len(views), classes)
    kept = np.lib.format.open_memmap(context.give(VIEWS), "w+", np.float32, shape)
    question = _question(context)
    with context.report.bar("asking the teacher", count) as bar:
        for view in range(count):
            kept[view] = _cached(context.cache, question, view, partial(_answered, members, views, view))
            bar.advance()
    kept.flush()


class _Asked:
    """A network of the teacher's."""

    def __init__(self, context: Context, answer: Answer) -> None:
        self._context, self._answer = context, answer
        self._preprocess = Preprocessor(context.recipe.input.steps())

    def split(self, name: str) -> NDArray[np.float32]:
        return logits(self._answer, load_split(self._context.needs, name), self._preprocess)

    def view(self, views: Views, number: int) -> NDArray[np.float32]:
        parts = []
        for chunk in views.chunks(number):
            items = Examples(chunk.items, chunk.labels)
            parts.append(logits(self._answer, items, self._preprocess))
        return np.concatenate(parts)


class _Stored:
    """Stored answers, the same for every variation of an item."""

    def __init__(self, context: Context, data: bytes, *, probabilities: bool) -> None:
        stored = read_stored(data)
        if probabilities:
            stored = {digest: logarithm(torch.from_numpy(each)).numpy() for digest, each in stored.items()}
        self._context, self._stored = context, stored

    def split(self, name: str) -> NDArray[np.float32]:
        return stored_for(self._stored, item_digests(self._context.needs, name), name)

    def view(self, views: Views, number: int) -> NDArray[np.float32]:
        digests = _training_digests(self._context.needs)
        return stored_for(self._stored, digests, "training")[views.rows(number)]


def _member(context: Context, member: TeacherMember, data: bytes) -> _Asked | _Stored:
    if member.file.endswith(".npz"):
        return _Stored(context, data, probabilities=member.probabilities)
    teacher = context.recipe.teacher
    answer = answer_of(member.file, data, context.scratch / "teacher.log", teacher.precision)
    if member.probabilities:
        answer = logarithm_of(answer)
    return _Asked(context, mirrored(answer) if teacher.mirror else answer)


def _answered(members: list[_Asked | _Stored], views: Views, number: int) -> NDArray[np.float32]:
    answers: NDArray[np.float32] = mean_of(
        [torch.from_numpy(member.view(views, number)) for member in members]
    ).numpy()
    return answers


def _question(context: Context) -> dict[str, object]:
    """Return what the answers to a view depend on, beside its number."""
    return {
        "teacher": load_teacher_record(context.needs[RECORD]).sha256,
        "items": _training_digests(context.needs),
        "settings": _view_settings(context.recipe),
        "tools": dict(tool_versions()),
    }


def _cached(
    cache: Path, question: Mapping[str, object], view: int, answer: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return a view's answers from the cache, or ask for them and keep them there."""
    key = hashlib.sha256(canonical_json({**question, "view": view})).hexdigest()
    path = cache / "teacher-views" / f"{key}.npy"
    try:
        known: NDArray[np.float32] = np.load(path)
        return known
    except (OSError, ValueError, EOFError):  # not there, or cut off
        answers = answer()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.save(file, answers)
    return answers


ANSWERS = Step(
    "answers",
    ("items.npy", "splits.npz", "data.json", ARCHIVE, RECORD),
    (VIEWS, PLAIN),
    _settings,
    _run,
    units=lambda recipe: float(recipe.teacher.views),
)
