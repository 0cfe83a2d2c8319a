"""A model on a gold set: how many it names rightly, class by class, and which not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import edgeinfer as ei
from converters.compare.answers import ask, check_labels
from converters.gold.store import GoldSet
from converters.verify.proportion import proportion
from edgeinfer.bundle import Proportion


@dataclass(frozen=True)
class Wrong:
    """One item that is not named rightly.

    Attributes:
        file: Its file in the set.
        name: Name of the file that it was added from.
        label: Its class.
        by: Who said so.
        named: The class that the model names; None where it gave no answer.
        confidence: How sure the model was, 0..1.
        refused: Why it gave no answer.
    """

    file: str
    name: str
    label: str
    by: str
    named: str | None
    confidence: float
    refused: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A model on a version of a gold set.

    Attributes:
        gold_version: Version of the set.
        gold_digest: Its digest: items and labels.
        bundle: The bundle's digest.
        variant: Id of the variant that ran.
        engine: Engine package and version that ran it.
        accuracy: Share of all items that are named rightly.
        per_class: The same class by class.
        wrong: Items that are not.
    """

    gold_version: int
    gold_digest: str
    bundle: str
    variant: str
    engine: str
    accuracy: Proportion
    per_class: dict[str, Proportion]
    wrong: tuple[Wrong, ...]


def evaluate(gold: GoldSet, model: ei.Model, advance: Callable[[], None]) -> Evaluation:
    """Run a model on every item of a gold set.

    An item that the model cannot take counts as not named rightly.

    Args:
        gold: Items and labels.
        model: A loaded bundle.
        advance: Called after every item.

    Raises:
        DataError: An item's file is lost or damaged, or no class of the set is the model's.
        InputError: The model names no classes.
    """
    check_labels({entry.item.label for entry in gold.entries.values()}, model, gold.folder)
    hits: dict[str, list[bool]] = {}
    wrong: list[Wrong] = []
    for entry in gold.entries.values():
        named, item = ask(model, gold.read(entry)), entry.item
        right = named.label == item.label
        hits.setdefault(item.label, []).append(right)
        if not right:
            wrong.append(
                Wrong(
                    item.file, item.name, item.label, entry.by, named.label, named.confidence, named.refused
                )
            )
        advance()
    chosen = model.selection.chosen
    return Evaluation(
        gold.version,
        gold.digest,
        model.digest,
        chosen.variant,
        chosen.runtime or chosen.engine,
        proportion(np.concatenate([np.array(own) for own in hits.values()])),
        {label: proportion(np.array(own)) for label, own in sorted(hits.items())},
        tuple(sorted(wrong, key=lambda each: (each.label, -each.confidence, each.file))),
    )
