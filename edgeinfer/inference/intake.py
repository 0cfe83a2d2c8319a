"""From what a caller hands in to the model's tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from edgeinfer.bundle import Manifest
from edgeinfer.engines.seam import Array
from edgeinfer.errors import InputError
from edgeinfer.inference.arrays import array_check
from edgeinfer.preprocess import Placement, Preprocessor

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = (
        str
        | os.PathLike[str]
        | bytes
        | Image
        | Array
        | tuple[Array, int]
        | Sequence[object]
        | Mapping[str, Array]
        | Mapping[str, object]
    )

Prepared = tuple[Mapping[str, Array], "Placement | None"]


class Intake:
    """Prepares sources for one model.

    Attributes:
        check: Holds tensors against the manifest and returns the number of items.
    """

    def __init__(self, manifest: Manifest, *, detects: bool) -> None:
        self._inputs, self._detects = manifest.inputs, detects
        self.check = array_check(manifest.inputs)
        self._preprocess = {each.name: Preprocessor(each.preprocess) for each in manifest.inputs}
        self._takes_rows = [each.kind for each in self._preprocess.values()] == ["table"]

    def one(self, source: Source) -> Prepared:
        """Return the tensors of one item, and for a detector's picture where they lie in it.

        Raises:
            InputError: It does not fit the model, or is a batch of several items.
            DecodeError: It is damaged, not of its kind, or too large.
        """
        inputs, placement = self._prepare(source)
        count = self.check(inputs)
        if count != 1:
            raise InputError(
                "predict takes one item",
                found=f"a batch of {count}",
                next_step="hand it to run, or item by item",
            )
        return inputs, placement

    def _prepare(self, source: Source) -> Prepared:
        # The others of a row's mappings hold arrays, and a row holds none.
        if isinstance(source, Mapping) and not (self._takes_rows and _without_arrays(source)):
            return cast("Mapping[str, Array]", source), None
        if len(self._inputs) != 1:
            names = ", ".join(each.name for each in self._inputs)
            raise InputError("this model takes several inputs", expected=f"a dict of arrays with {names}")
        declared = self._inputs[0]
        preprocess = self._preprocess[declared.name]
        if isinstance(source, np.ndarray) and (preprocess.kind != "image" or source.dtype.kind == "f"):
            return {declared.name: source[None] if source.ndim == len(declared.shape) - 1 else source}, None
        if preprocess.kind == "tensor":
            raise InputError(
                f"input {declared.name} takes a tensor", found=type(source).__name__, expected="a numpy array"
            )
        if not self._detects:
            return {declared.name: preprocess(source)}, None
        item, placement = preprocess.placed(source)
        return {declared.name: preprocess.tensors(item[None])}, placement


def _without_arrays(source: Mapping[str, object]) -> bool:
    return not any(isinstance(value, np.ndarray) for value in source.values())
