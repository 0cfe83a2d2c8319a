"""The data step: decode every item once, split, fit, and keep the result on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.complaints import check_labels, check_unreadable, refuse_empty_folders
from converters.data.fitting import fit_audio, fit_table
from converters.data.reader import Reader, encoded
from converters.data.sources import UNLABELLED, Item, Source, fingerprint, sources
from converters.data.splits import SPLITS, split_items
from converters.json_file import load_json, save_json
from converters.recipe import AudioInput, ImageInput, Input, Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError, DataError

_PARTS = (*SPLITS, UNLABELLED)


@dataclass(frozen=True)
class DataRecord:
    """What the report and the lineage say of the data.

    Attributes:
        classes: Class names, in the order of the outputs.
        splits: Items per split, the unlabelled ones by that name where there are any.
        sha256: Digest over every item's digest, class and split.
        duplicates: Items whose content occurred before.
        unreadable: Name and reason of each item that could not be decoded.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, int]
    sha256: str
    duplicates: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Examples:
    """One split.

    Attributes:
        items: What the first half of the preprocessing makes: `(N, H, W, C) uint8` pictures,
            `(N, samples) int16` recordings, or `(N, columns) float64` rows.
        labels: `(N,) int64` class indices; -1 where there is none.
    """

    items: NDArray[Any]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _Fitted:
    """The input section with what was fitted."""

    input: Input


def load_split(needs: Mapping[str, Path], split: str) -> Examples:
    """Return one split of what the data step made."""
    with np.load(needs["splits.npz"]) as arrays:
        chosen = arrays["split"] == _PARTS.index(split)
        rows, labels = arrays["row"][chosen], arrays["label"][chosen]
    items = np.load(needs["items.npy"], mmap_mode="r")
    return Examples(np.asarray(items[rows]), labels.astype(np.int64))


def load_unlabelled(needs: Mapping[str, Path]) -> Examples:
    """Return the items without a class, labels -1; none where the recipe names no place for them."""
    return load_split(needs, UNLABELLED)


def load_record(needs: Mapping[str, Path]) -> DataRecord:
    """Return what the data step recorded."""
    record = json.loads(needs["data.json"].read_text())
    return DataRecord(
        tuple(record["classes"]),
        record["splits"],
        record["sha256"],
        record["duplicates"],
        tuple(record["unreadable"]),
    )


def item_digests(needs: Mapping[str, Path], split: str) -> list[str]:
    """Return the SHA-256 (hex) of each item's content, in the order of `load_split`."""
    with np.load(needs["splits.npz"]) as arrays:
        digests: list[str] = arrays["sha256"][arrays["split"] == _PARTS.index(split)].tolist()
    return digests


def _settings(recipe: Recipe) -> object:
    return {
        "data": encode(recipe.data),
        "input": encode(recipe.input),
        "seed": recipe.seed,
        "fingerprint": fingerprint(recipe),
    }


def _run(context: Context) -> None:
    recipe = context.recipe
    found = [(source, _choose(source, split, recipe)) for source, split in sources(recipe)]
    for path, (_, mine) in zip((recipe.data.path, recipe.data.test_path), found, strict=False):
        if path is not None:
            refuse_empty_folders(recipe.resolve(path), mine)
    classes = sorted({item.label for _, mine in found for item in mine} - {""})
    if len(classes) < 2:
        raise DataError(
            "the data has one class" if classes else "the data has no classes",
            found=classes,
            expected="at least two",
            next_step="check [data] in the recipe",
        )
    check_labels(classes)
    total = sum(len(mine) for _, mine in found)
    reader = Reader(recipe.input, context.give("items.npy"), total)
    with context.report.bar("reading the data", total) as bar:
        for source, mine in found:
            with source.reading() as opened:
                for item in mine:
                    reader.read(opened, item)
                    bar.advance()
    reader.flush()
    log = context.scratch / "unreadable.log"
    check_unreadable(reader.unreadable, total, recipe.data.max_unreadable, log, context.report)
    splits = _splits(reader, recipe)
    _fit(context, reader, splits)
    _write(context, reader, classes, splits)


def _choose(source: Source, split: str | None, recipe: Recipe) -> list[Item]:
    items = [Item(item.name, item.label, split or item.split) for item in source.items()]
    limit = recipe.data.limit_per_class
    if limit is None or split == UNLABELLED:
        return items
    generator = np.random.default_rng(recipe.seed)
    kept: list[Item] = []
    for label in sorted({item.label for item in items}):
        mine = [item for item in items if item.label == label]
        kept += [mine[at] for at in sorted(generator.permutation(len(mine))[:limit])]
    return kept


def _splits(reader: Reader, recipe: Recipe) -> list[str | None]:
    """Return the split of each item; None for an unlabelled one whose content is known already."""
    labelled = [at for at, item in enumerate(reader.items) if item.split != UNLABELLED]
    dealt = split_items(
        [reader.digests[at] for at in labelled],
        [reader.items[at].label for at in labelled],
        [reader.items[at].split for at in labelled],
        validation=recipe.data.validation,
        test=recipe.data.test,
        seed=recipe.seed,
    )
    splits: list[str | None] = [None] * len(reader.items)
    for at, split in zip(labelled, dealt, strict=True):
        splits[at] = split
    seen = {reader.digests[at] for at in labelled}
    for at, digest in enumerate(reader.digests):
        if splits[at] is None and digest not in seen:
            splits[at] = UNLABELLED
            seen.add(digest)
    return splits


def _fit(context: Context, reader: Reader, splits: Sequence[str | None]) -> None:
    """Write the fitted input section, and the items that had to wait for it."""
    input_ = context.recipe.input
    fitted: Input = input_
    training = [at for at, split in enumerate(splits) if split == "train"]
    if isinstance(input_, AudioInput):
        items = np.load(context.give("items.npy"), mmap_mode="r")
        fitted = fit_audio(input_, items, [reader.rows[at] for at in training])
    elif not isinstance(input_, ImageInput):
        labelled = [reader.cells[at] for at, split in enumerate(splits) if split in SPLITS]
        fitted = fit_table(input_, labelled, [reader.cells[at] for at in training])
        np.save(context.give("items.npy"), encoded(reader.cells, fitted))
        reader.rows = list(range(len(reader.cells)))
    save_json(_Fitted(fitted), context.give("input.json"))


def _write(context: Context, reader: Reader, classes: Sequence[str], splits: Sequence[str | None]) -> None:
    kept = [at for at, split in enumerate(splits) if split is not None]
    names = [str(splits[at]) for at in kept]
    labels = [reader.items[at].label for at in kept]
    digests = [reader.digests[at] for at in kept]
    hasher = hashlib.sha256()
    for line in sorted(f"{each}\n" for each in map(" ".join, zip(digests, labels, names, strict=True))):
        hasher.update(line.encode())
    counts = {part: names.count(part) for part in _PARTS}
    record = DataRecord(
        classes=tuple(classes),
        splits={part: count for part, count in counts.items() if count or part != UNLABELLED},
        sha256=hasher.hexdigest(),
        duplicates=len(reader.digests) - len(set(reader.digests)),
        unreadable=tuple(reader.unreadable),
    )
    np.savez(
        context.give("splits.npz"),
        row=np.array([reader.rows[at] for at in kept]),
        label=np.array([classes.index(label) if label else -1 for label in labels]),
        split=np.array([_PARTS.index(name) for name in names]),
        sha256=np.array(digests),
    )
    context.give("data.json").write_text(json.dumps(asdict(record), indent=2))


def _refine(recipe: Recipe, have: Mapping[str, Path]) -> Recipe:
    """Return the recipe with what was fitted to the training split."""
    fitted = load_json(_Fitted, have["input.json"])
    return replace(recipe, input=fitted.input)


def check_classes(given: int, record: DataRecord, who: str) -> None:
    """Hold a model's number of classes against the data's.

    Raises:
        ConversionError: They differ.
    """
    if given != len(record.classes):
        raise ConversionError(
            f"the {who}'s classes are not the data's",
            found=f"{given} outputs",
            expected=f"{len(record.classes)} classes ({', '.join(record.classes[:12])})",
            next_step="use a teacher of this data's classes, in alphabetical order",
        )


DATA = Step("data", (), ("items.npy", "splits.npz", "data.json", "input.json"), _settings, _run, _refine)
