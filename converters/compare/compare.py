"""The comparison of two bundles: accuracy in pairs, agreement, size and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.compare.answers import Named, ask, check_labels
from converters.compare.latency import SideBySide, Timed, side_by_side
from converters.compare.verdict import Verdict, judge
from converters.data.collection import Collection
from converters.data.complaints import refuse_unreadable
from converters.quiet import logged
from converters.verify.paired import Paired, pair_hits
from converters.verify.proportion import proportion
from edgeinfer.bundle import Proportion
from edgeinfer.errors import DecodeError


@dataclass(frozen=True)
class Side:
    """One of the two bundles, as it runs here.

    Attributes:
        path: Where it is.
        digest: Its identity.
        name: The model's name.
        version: Its version.
        variant: Id of the variant that ran.
        engine: Engine package and version that ran it.
        model_bytes: Size of that variant's file.
        bundle_bytes: Size of all content that the bundle names.
        accuracy: Share of items that it names rightly; None without labels.
    """

    path: str
    digest: str
    name: str
    version: str
    variant: str
    engine: str
    model_bytes: int
    bundle_bytes: int
    accuracy: Proportion | None = None


@dataclass(frozen=True)
class Comparison:
    """Two bundles on the same items.

    Attributes:
        old: One.
        new: The other.
        n: Items that were answered for.
        split: The split of the data that they are, or None.
        unreadable: Items that neither model could read, with the reason.
        refused: Items that one model alone gave no answer for, which counts against it.
        agreement: Share of items for which both name the same class.
        paired: Hits of the new model against those of the old; None without labels.
        latency: Times side by side; None where they were not asked for.
        verdict: What can be said.
        strange: Classes of the items that a model does not name, and which one: it is wrong on all of them.
    """

    old: Side
    new: Side
    n: int
    split: str | None
    unreadable: tuple[str, ...]
    refused: tuple[str, ...]
    agreement: Proportion
    paired: Paired | None
    latency: SideBySide | None
    verdict: Verdict
    strange: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """How to compare.

    Attributes:
        old_variant: Insist on a variant of the old bundle.
        new_variant: Insist on a variant of the new one.
        smallest: The smallest difference of accuracies worth telling.
        max_unreadable: Share of unreadable items above which there is no comparison.
        rounds: Rounds of timing; 0 times nothing.
        seconds: Of each measurement.
    """

    old_variant: str | None = None
    new_variant: str | None = None
    smallest: float = 0.01
    max_unreadable: float = 0.01
    rounds: int = 5
    seconds: float = 0.3


@dataclass(frozen=True)
class _Answers:
    labels: NDArray[np.str_]
    old: list[Named]
    new: list[Named]
    unreadable: list[str]
    refused: list[str]


def compare(
    old: Path, new: Path, data: Collection, wishes: Wishes, log: Path, advance: Callable[[], None]
) -> Comparison:
    """Run both bundles on every item and say which is better.

    Args:
        old: A bundle.
        new: Another one.
        data: The items.
        wishes: How.
        log: File for what engines print.
        advance: Called after every item and every measurement.

    Raises:
        BundleError: A bundle cannot be read.
        NoVariantError: A bundle has no variant that runs here.
        DataError: The items' classes are another task's, or too many cannot be read.
        InputError: A model names no classes.
        EngineRunError: A variant cannot be timed.
    """
    with ExitStack() as stack:
        with logged(log):
            first = stack.enter_context(ei.load(old, variant=wishes.old_variant))
            second = stack.enter_context(ei.load(new, variant=wishes.new_variant))
        labels = {item.label for item in data.items} if data.labelled else set()
        for model in (first, second):
            check_labels(labels, model, old if model is first else new)
        strange = _strange(labels, first, second)
        with logged(log):
            answers = _ask_both(first, second, data, advance)
        way = "mend or remove them, or raise --max-unreadable"
        refuse_unreadable(answers.unreadable, len(data.items), wishes.max_unreadable, way)
        sides = (_side(old, first), _side(new, second))
        timed = (_timed(old, first), _timed(new, second))
    latency = side_by_side(*timed, wishes.rounds, wishes.seconds, advance) if wishes.rounds else None
    return replace(_counted(sides, answers, data, latency, wishes.smallest), strange=strange)


def _strange(labels: set[str], first: ei.Model, second: ei.Model) -> tuple[str, ...]:
    found = []
    for label in sorted(labels):
        lacking = [
            side
            for side, model in (("old", first), ("new", second))
            if label not in (model.labels or (label,))
        ]
        if lacking:
            found.append(f"{label} ({' and '.join(lacking)})")
    return tuple(found)


def _ask_both(first: ei.Model, second: ei.Model, data: Collection, advance: Callable[[], None]) -> _Answers:
    labels: list[str] = []
    found = _Answers(np.empty(0, str), [], [], [], [])
    with data.source.reading() as source:
        for item in data.items:
            advance()
            try:
                content = source.read(item)
            except DecodeError as error:
                found.unreadable.append(f"{item.name}: {error}")
                continue
            before, after = ask(first, content), ask(second, content)
            if before.refused and after.refused:
                found.unreadable.append(f"{item.name}: {before.refused}")
                continue
            if before.refused or after.refused:
                found.refused.append(f"{item.name}: {before.refused or after.refused}")
            labels.append(item.label)
            found.old.append(before)
            found.new.append(after)
    return _Answers(np.array(labels), found.old, found.new, found.unreadable, found.refused)


def _timed(path: Path, model: ei.Model) -> Timed:
    return Timed(path, model.selection.chosen.variant, model.selection.chosen.engine)


def _side(path: Path, model: ei.Model) -> Side:
    chosen = model.selection.chosen
    blob = next(each.blob for each in model.manifest.variants if each.id == chosen.variant)
    return Side(
        path=str(path),
        digest=model.digest,
        name=model.manifest.name,
        version=model.manifest.version,
        variant=chosen.variant,
        engine=chosen.runtime or chosen.engine,
        model_bytes=blob.size,
        bundle_bytes=sum(each.size for each in model.manifest.blobs().values()),
    )


def _counted(
    sides: Sequence[Side], answers: _Answers, data: Collection, latency: SideBySide | None, smallest: float
) -> Comparison:
    old, new = sides
    named = [np.array([each.label or "" for each in own]) for own in (answers.old, answers.new)]
    # No answer agrees with nothing: both at once were left out.
    agreement = proportion(named[0] == named[1])
    paired = None
    if data.labelled:
        hits = [own == answers.labels for own in named]
        old, new = (replace(side, accuracy=proportion(own)) for side, own in zip(sides, hits, strict=True))
        paired = pair_hits(hits[1], hits[0])
    return Comparison(
        old,
        new,
        len(answers.labels),
        data.split,
        tuple(answers.unreadable),
        tuple(answers.refused),
        agreement,
        paired,
        latency,
        judge(paired, smallest),
    )
