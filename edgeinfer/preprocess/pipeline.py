"""The declared steps, run in order."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import CenterCrop, Decode, Layout, Normalize, PreprocessStep, Resize, Scale
from edgeinfer.errors import EngineUnavailable, InputError
from edgeinfer.preprocess.placement import Placement, place


class Preprocessor:
    """Runs preprocessing steps in two halves that training can tell apart.

    The first half decodes one source to an item of a fixed size (the pixels of a picture); the second
    turns items into tensors, for many at once, so that a converter can keep the items and augment
    them. Both halves give the same values one by one and in batches.
    """

    def __init__(self, steps: Sequence[PreprocessStep]) -> None:
        self._decode = next((step for step in steps if isinstance(step, Decode)), None)
        self._geometry = [step for step in steps if isinstance(step, Resize | CenterCrop)]
        self._values = [step for step in steps if isinstance(step, Scale | Normalize)]
        self._layout = next((step.order for step in steps if isinstance(step, Layout)), "HWC")

    @property
    def takes_pictures(self) -> bool:
        """Whether there are steps that start from a picture."""
        return self._decode is not None

    def item(self, source: object) -> NDArray[np.uint8]:
        """Decode, resize and crop one picture.

        Args:
            source: Path, encoded bytes, a PIL image, or `(H, W[, C]) uint8` pixels.

        Returns:
            `(H, W, C) uint8`.

        Raises:
            DecodeError: It is no picture, is damaged, or is larger than the declared limit.
            InputError: It is of another type, or smaller than a crop.
            EngineUnavailable: Pillow is not installed.
        """
        return self.placed(source)[0]

    def placed(self, source: object) -> tuple[NDArray[np.uint8], Placement]:
        """Decode, resize and crop one picture, as `item` does; return also where the result lies in it."""
        if self._decode is None:
            raise InputError("this input takes tensors, not pictures", next_step="hand in an array")
        picture = _picture_room()
        image = picture.decode(source, self._decode)
        placement = place(self._geometry, *image.size)
        for step in self._geometry:
            image = (
                picture.resize(image, step) if isinstance(step, Resize) else picture.center_crop(image, step)
            )
        result: NDArray[np.uint8] = picture.pixels(image)
        return result, placement

    def tensors(self, items: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale, normalize and lay out a batch.

        Args:
            items: `(N, H, W, C) uint8`.

        Returns:
            `(N, C, H, W)` or `(N, H, W, C)` float32, contiguous, every operation rounded to float32.
        """
        values: NDArray[np.float32] = items.astype(np.float32)
        for step in self._values:
            if isinstance(step, Scale):
                values = values * np.float32(step.factor) + np.float32(step.offset)
            else:
                mean, std = np.asarray(step.mean, np.float32), np.asarray(step.std, np.float32)
                values = np.divide(values - mean, std, dtype=np.float32)
        if self._layout == "CHW":
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values)

    def __call__(self, source: Any) -> NDArray[np.float32]:
        """Run all steps on one picture; return the tensor with a batch axis of 1."""
        return self.tensors(self.item(source)[None])


def _picture_room() -> ModuleType:
    try:
        from edgeinfer.preprocess import picture
    except ImportError as error:
        raise EngineUnavailable(
            f"pictures need Pillow ({error})",
            next_step="pip install 'edgeinfer[image]', or hand in the preprocessed tensor",
        ) from error
    return picture
