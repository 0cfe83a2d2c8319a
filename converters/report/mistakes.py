"""What models get wrong on the test split, counted class by class and told item by item. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from converters.verify.answers import Answers
from converters.verify.proportion import proportion
from edgeinfer.bundle import Proportion
from edgeinfer.preprocess import softmax

TEACHER, STUDENT = "teacher", "student"
# Longer lists are not read; the counts say how many there are.
_LISTED = 24
_PAIRS = 1000


@dataclass(frozen=True)
class ClassFigures:
    """One class.

    Attributes:
        name: Its name.
        accuracy: Share of its items that a model names rightly, by model.
        lost: Its items that the teacher names rightly and the shipped variant does not.
    """

    name: str
    accuracy: Mapping[str, Proportion]
    lost: int


@dataclass(frozen=True)
class Confused:
    """How many items of one class were named another; classes by index."""

    true: int
    named: int
    items: int


@dataclass(frozen=True)
class Lost:
    """An item that the teacher names rightly and the shipped variant does not.

    Attributes:
        item: Row in the test split.
        true: Its class, by index.
        named: The class that the variant names.
        confidence: The variant's calibrated confidence in that.
        teacher_confidence: The teacher's confidence in the true class, not calibrated.
    """

    item: int
    true: int
    named: int
    confidence: float
    teacher_confidence: float


@dataclass(frozen=True)
class Flip:
    """An item whose class quantization changed.

    Attributes:
        item: Row in the test split.
        true: Its class, by index.
        before: The class that the float model names.
        after: The class that the quantized variant names.
        margin_before: Calibrated probability of the first class less that of the second.
        margin_after: The same of the variant.
        effect: `lost`: right before; `gained`: right after; `neither`.
    """

    item: int
    true: int
    before: int
    after: int
    margin_before: float
    margin_after: float
    effect: Literal["lost", "gained", "neither"]


@dataclass(frozen=True)
class Flipped:
    """How many items each way a quantized variant flipped, of all test items."""

    lost: int
    gained: int
    neither: int


@dataclass(frozen=True)
class Mistakes:
    """What goes wrong.

    Attributes:
        shipped: The variant that a device tries first: confusions, lost items and flips are its.
        reference: The float model that flips are counted from.
        classes: In the order of the outputs.
        confusions: The commonest first.
        lost_items: How many items the teacher names rightly and the shipped variant does not.
        lost: The most confident of them.
        flipped: Counts by quantized variant, each against the float file of its format.
        flips: The worst of the shipped variant: those lost first, largest margin before first.
    """

    shipped: str
    reference: str
    classes: tuple[ClassFigures, ...]
    confusions: tuple[Confused, ...]
    lost_items: int
    lost: tuple[Lost, ...]
    flipped: Mapping[str, Flipped]
    flips: tuple[Flip, ...]


def find_mistakes(
    answers: Answers, classes: Sequence[str], floats: Mapping[str, str | None], temperature: float
) -> Mistakes:
    """Count what goes wrong.

    Args:
        answers: Everybody's.
        classes: Names, in the order of the outputs.
        floats: Per quantized variant, the one to ship first, the float variant of its format; None
            where there is none, the PyTorch student then stands for it.
        temperature: Of the calibrated confidence.
    """
    shipped = next(iter(floats), None) or next(iter(answers.variants))
    reference = floats.get(shipped) or STUDENT
    given = answers.variants[shipped]
    labels, named = answers.labels, given.argmax(1)
    lost = np.flatnonzero((answers.teacher.argmax(1) == labels) & (named != labels))
    confidence = softmax(given, temperature).max(1)
    teacher = softmax(answers.teacher, 1.0)[np.arange(len(labels)), labels]
    listed = [
        Lost(int(at), int(labels[at]), int(named[at]), float(confidence[at]), float(teacher[at]))
        for at in lost[np.argsort(-confidence[lost], kind="stable")][:_LISTED]
    ]
    flips = {
        variant: find_flips(
            labels, _logits(answers, before or STUDENT), answers.variants[variant], temperature
        )
        for variant, before in floats.items()
    }
    return Mistakes(
        shipped=shipped,
        reference=reference,
        classes=_classes(answers, classes, lost),
        confusions=confusions(labels, named, len(classes)),
        lost_items=len(lost),
        lost=tuple(listed),
        flipped={variant: _count(each) for variant, each in flips.items()},
        flips=tuple(flips.get(shipped, ())[:_LISTED]),
    )


def find_flips(
    labels: NDArray[np.int64],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    temperature: float,
) -> list[Flip]:
    """Return the items whose class differs between two models' logits, the worst first."""
    one, two = before.argmax(1), after.argmax(1)
    margins = [margin(each, temperature) for each in (before, after)]
    flips = [
        Flip(
            item=int(at),
            true=int(labels[at]),
            before=int(one[at]),
            after=int(two[at]),
            margin_before=float(margins[0][at]),
            margin_after=float(margins[1][at]),
            effect="lost" if one[at] == labels[at] else "gained" if two[at] == labels[at] else "neither",
        )
        for at in np.flatnonzero(one != two)
    ]
    order = {"lost": 0, "neither": 1, "gained": 2}
    return sorted(flips, key=lambda flip: (order[flip.effect], -flip.margin_before, flip.item))


def margin(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return `(N,)`, the probability of the first class less that of the second."""
    ordered = np.sort(softmax(logits, temperature).astype(np.float64), axis=1)
    result: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return result


def confusions(labels: NDArray[np.int64], named: NDArray[np.int64], classes: int) -> tuple[Confused, ...]:
    """Return how often each class was taken for each other, the commonest first, a thousand at most."""
    pairs, counts = np.unique(labels * classes + named, return_counts=True)
    found = [
        Confused(int(pair) // classes, int(pair) % classes, int(count))
        for pair, count in zip(pairs, counts, strict=True)
        if int(pair) // classes != int(pair) % classes
    ]
    return tuple(sorted(found, key=lambda each: (-each.items, each.true, each.named))[:_PAIRS])


def _classes(answers: Answers, classes: Sequence[str], lost: NDArray[np.int64]) -> tuple[ClassFigures, ...]:
    models = {TEACHER: answers.teacher, STUDENT: answers.student, **answers.variants}
    hits = {model: given.argmax(1) == answers.labels for model, given in models.items()}
    figures = []
    for at, name in enumerate(classes):
        mine = answers.labels == at
        if mine.any():
            shares = {model: proportion(each[mine]) for model, each in hits.items()}
            figures.append(ClassFigures(name, shares, int((answers.labels[lost] == at).sum())))
    return tuple(figures)


def _logits(answers: Answers, model: str) -> NDArray[np.float32]:
    return answers.student if model == STUDENT else answers.variants[model]


def _count(flips: Sequence[Flip]) -> Flipped:
    effects = [flip.effect for flip in flips]
    return Flipped(effects.count("lost"), effects.count("gained"), effects.count("neither"))
