"""Calibration inputs from a folder, read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.complaints import refuse_unreadable
from converters.data.sources import PICTURES, is_hidden
from converters.progress import Reporter
from converters.ready.wrap import Contract
from edgeinfer.errors import DataError, InputError
from edgeinfer.preprocess import Preprocessor

ARRAYS = (".npy",)
# Of the files of a folder that look like inputs, so many may be unreadable.
_MOST_UNREADABLE = 0.01


class FolderItems:
    """Inputs of the model, as the manifest declares them, from files.

    Attributes:
        paths: The files.
    """

    def __init__(self, paths: Sequence[Path], made: Contract) -> None:
        self.paths = tuple(paths)
        self._made = made
        self._preprocess = Preprocessor(made.input.preprocess)

    def __len__(self) -> int:
        return len(self.paths)

    def tensors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the inputs `start` to `stop`, preprocessed.

        Raises:
            DataError: A file does not hold an input.
        """
        return np.concatenate([self._one(path) for path in self.paths[start:stop]])

    def _one(self, path: Path) -> NDArray[np.float32]:
        if self._preprocess.kind == "image":
            return self._preprocess(path)
        try:
            value: NDArray[np.float32] = np.load(path, allow_pickle=False)
        except Exception as error:  # its readers raise over a dozen types on damaged files
            raise DataError(f"cannot read {path} ({error})", next_step="write it with numpy.save") from error
        wanted = self._made.input.shape[1:]
        if value.dtype != np.float32 or value.shape not in (wanted, (1, *wanted)):
            raise DataError(
                f"{path} is no input of the model",
                found=f"{value.dtype} {value.shape}",
                expected=f"float32 {wanted}",
            )
        return value.reshape(1, *value.shape[-len(wanted) :]) if wanted else value

    def digest(self) -> str:
        """Return the SHA-256 (hex) over the digests of all files, in their order."""
        whole = hashlib.sha256()
        for path in self.paths:
            whole.update(hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()


def folder_items(
    folder: Path, key: str, made: Contract, most: int, seed: int, report: Reporter
) -> FolderItems:
    """Return inputs that lie in a folder and below, in order of their paths; each was read once.

    Args:
        folder: Where they are.
        key: The recipe's, for messages.
        made: What the model takes.
        most: Take at most so many.
        seed: Of the choice.
        report: Is told which are left out, since they cannot be read.

    Raises:
        DataError: There is none, or more than one in a hundred cannot be read.
    """
    found = _matching(folder, key, PICTURES if made.input.preprocess else ARRAYS)
    order = np.random.default_rng(seed).permutation(len(found))[:most]
    paths = [found[at] for at in sorted(order)]
    readable, broken = [], []
    items = FolderItems(paths, made)
    for at, path in enumerate(paths):
        try:
            items.tensors(at, at + 1)
            readable.append(path)
        except (InputError, DataError) as error:
            broken.append(f"{path.relative_to(folder).as_posix()}: {error}")
    refuse_unreadable(broken, len(paths), _MOST_UNREADABLE, f"mend those under {key}, or remove them")
    if broken:
        names = ", ".join(line.split(": ")[0] for line in broken)
        report.note(
            f"{len(broken)} of {len(paths)} items under {key} cannot be read and are left out: {names}"
        )
    return FolderItems(readable, made)


def parted(items: FolderItems, made: Contract) -> tuple[FolderItems, FolderItems]:
    """Return items for ranges and others to check with: every fifth.

    Raises:
        DataError: There are fewer than five, so that none is left to check with.
    """
    if len(items) < 5:
        raise DataError(
            "too few calibration items to hold some out",
            found=len(items),
            expected="5 or more",
            next_step="add some, or name other ones under quantize.check",
        )
    lending = [path for at, path in enumerate(items.paths) if at % 5 != 4]
    return FolderItems(lending, made), FolderItems(items.paths[4::5], made)


def _matching(folder: Path, key: str, kinds: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        raise DataError(
            f"{key} {folder} is no folder",
            found="a file" if folder.exists() else "nothing",
            next_step="name a folder, relative to the recipe",
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    seen = [path for path in files if not is_hidden(path.relative_to(folder).as_posix())]
    paths = [path for path in seen if path.suffix.lower() in kinds]
    if not paths:
        raise DataError(
            f"{key} {folder} matches nothing",
            found=f"{len(files)} files, none that ends in {', '.join(kinds)}",
            expected="inputs such as the model will meet",
            next_step="put some there, a few hundred for good ranges",
        )
    return paths
