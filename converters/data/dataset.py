"""The data step: decode every item once, split, and keep the result on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.complaints import check_unreadable, refuse_empty_folders
from converters.data.sources import Item, Source, fingerprint, sources
from converters.data.splits import SPLITS, split_items
from converters.recipe import Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError, DataError, InputError
from edgeinfer.preprocess import Preprocessor


@dataclass(frozen=True)
class DataRecord:
    """What the report and the lineage say of the data.

    Attributes:
        classes: Class names, in the order of the outputs.
        splits: Items per split.
        sha256: Digest over every item's digest, class and split.
        duplicates: Items whose content occurred before.
        unreadable: Names of pictures that could not be decoded.
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
        items: `(N, H, W, C) uint8` pictures, after the first half of the preprocessing.
        labels: `(N,) int64` class indices.
    """

    items: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load_split(needs: Mapping[str, Path], split: str) -> Examples:
    """Return one split of what the data step made."""
    with np.load(needs["splits.npz"]) as arrays:
        chosen = arrays["split"] == SPLITS.index(split)
        rows, labels = arrays["row"][chosen], arrays["label"][chosen]
    items = np.load(needs["items.npy"], mmap_mode="r")
    return Examples(np.asarray(items[rows]), labels.astype(np.int64))


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
        digests: list[str] = arrays["sha256"][arrays["split"] == SPLITS.index(split)].tolist()
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
    classes = sorted({item.label for _, mine in found for item in mine})
    if len(classes) < 2:
        raise DataError(
            "the data has one class",
            found=classes,
            expected="at least two class folders",
            next_step="check data.path in the recipe",
        )
    total = sum(len(mine) for _, mine in found)
    input_ = recipe.input
    items = np.lib.format.open_memmap(
        context.give("items.npy"), "w+", np.uint8, (total, input_.height, input_.width, input_.channels)
    )
    reader = _Reader(Preprocessor(input_.steps()), items)
    with context.report.bar("reading pictures", total) as bar:
        for source, mine in found:
            with source.reading() as opened:
                for item in mine:
                    reader.read(opened, item)
                    bar.advance()
    items.flush()
    log = context.scratch / "unreadable.log"
    check_unreadable(reader.unreadable, total, recipe.data.max_unreadable, log, context.report)
    _write(context, reader, classes, recipe)


class _Reader:
    """Decodes pictures into rows and remembers what each row is."""

    def __init__(self, preprocess: Preprocessor, rows: NDArray[np.uint8]) -> None:
        self._preprocess = preprocess
        self._into = rows
        self.rows: list[int] = []
        self.items: list[Item] = []
        self.digests: list[str] = []
        self.unreadable: list[str] = []

    def read(self, source: Source, item: Item) -> None:
        row = len(self.rows) + len(self.unreadable)
        try:
            content = source.read(item)
            self._into[row] = self._preprocess.item(content)
        except InputError as error:
            self.unreadable.append(f"{item.name}: {error}")
            return
        self.rows.append(row)
        self.items.append(item)
        data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
        self.digests.append(hashlib.sha256(data).hexdigest())


def _choose(source: Source, split: str | None, recipe: Recipe) -> list[Item]:
    items = [Item(item.name, item.label, split or item.split) for item in source.items()]
    limit = recipe.data.limit_per_class
    if limit is None:
        return items
    generator = np.random.default_rng(recipe.seed)
    kept: list[Item] = []
    for label in sorted({item.label for item in items}):
        mine = [item for item in items if item.label == label]
        kept += [mine[at] for at in sorted(generator.permutation(len(mine))[:limit])]
    return kept


def _write(context: Context, reader: _Reader, classes: Sequence[str], recipe: Recipe) -> None:
    labels = [classes.index(item.label) for item in reader.items]
    given = [item.split for item in reader.items]
    splits = split_items(
        reader.digests,
        labels,
        given,
        validation=recipe.data.validation,
        test=recipe.data.test,
        seed=recipe.seed,
    )
    hasher = hashlib.sha256()
    for line in sorted(
        f"{digest} {classes[label]} {split}\n"
        for digest, label, split in zip(reader.digests, labels, splits, strict=True)
    ):
        hasher.update(line.encode())
    record = DataRecord(
        classes=tuple(classes),
        splits={split: splits.count(split) for split in SPLITS},
        sha256=hasher.hexdigest(),
        duplicates=len(reader.digests) - len(set(reader.digests)),
        unreadable=tuple(reader.unreadable),
    )
    np.savez(
        context.give("splits.npz"),
        row=np.array(reader.rows),
        label=np.array(labels),
        split=np.array([SPLITS.index(split) for split in splits]),
        sha256=np.array(reader.digests),
    )
    context.give("data.json").write_text(json.dumps(asdict(record), indent=2))


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


DATA = Step("data", (), ("items.npy", "splits.npz", "data.json"), _settings, _run)
