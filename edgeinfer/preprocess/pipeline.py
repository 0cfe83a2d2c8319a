"""The declared steps, run in order."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeinfer.bundle import CenterCrop, Normalize, Resize, Scale, channel_order
from edgeinfer.errors import EngineUnavailable, InputError
from edgeinfer.importing import imported
from edgeinfer.preprocess.placement import Placement, place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeinfer.bundle import PreprocessStep

    Items = NDArray[Any]

Kind = Literal["image", "audio", "table", "tensor"]
# By the step that comes first. What recordings and rows need is imported when there are some.
_KINDS: dict[str, Kind] = {"decode": "image", "decode_audio": "audio", "row": "table"}


class Preprocessor:
    """Runs preprocessing steps in two halves that training can tell apart.

    The first half decodes one source to an item of a fixed size: the pixels of a picture, the samples
    of a recording, the numbers of a row. The second turns items into tensors, for many at once, so
    that a converter can keep the items and augment them. Both halves give the same values one by one
    and in batches.

    Attributes:
        kind: What the steps start from; `tensor` where there are none.
    """

    def __init__(self, steps: Sequence[PreprocessStep]) -> None:
        self.kind: Kind = _KINDS[steps[0].op] if steps else "tensor"
        self._first = steps[0] if steps else None
        self._geometry = [step for step in steps if isinstance(step, Resize | CenterCrop)]
        self._fit = next((step for step in steps if step.op == "fit_length"), None)
        self._spectrum = next((step for step in steps if step.op == "log_mel"), None)
        self._cepstrum = next((step for step in steps if step.op == "mfcc"), None)
        self._values = [step for step in steps if isinstance(step, Scale | Normalize)]
        self._layout = channel_order(steps)

    def item(self, source: object) -> Items:
        """Decode one source to what training keeps.

        Args:
            source: For pictures a path, encoded bytes, a PIL image, or `(H, W[, C]) uint8` pixels; for
                audio the path or bytes of a WAV file, or `(samples, rate)`; for tables a dict by column
                name, a list in the order of the columns, or either as the path or bytes of JSON.

        Returns:
            `(H, W, C) uint8`, `(samples,) int16` or `(columns,) float64`.

        Raises:
            DecodeError: It is damaged, not of its kind, or larger than the declared limit.
            InputError: It is of another type, or does not fit the steps.
            EngineUnavailable: It is a picture and Pillow is not installed.
        """
        first = self._first
        if first is None:
            raise InputError("this input takes tensors", next_step="hand in an array")
        if first.op == "decode":
            return self.placed(source)[0]
        if first.op == "decode_audio":
            from edgeinfer.preprocess.resample import fit_length, resample
            from edgeinfer.preprocess.wav import decode_audio

            assert self._fit is not None, "the rules ask for it"
            samples, rate = decode_audio(source, first)
            return fit_length(resample(samples, rate, first.rate), self._fit)
        from edgeinfer.preprocess.row import read_row

        assert first.op == "row", "the rules ask for it"
        return read_row(source, first)

    def tensors(self, items: Items) -> NDArray[np.float32]:
        """Turn a batch of items into the model's tensors.

        Args:
            items: `(N, ...)` of what `item` returns.

        Returns:
            Float32, contiguous: `(N, C, H, W)` or `(N, H, W, C)` of pictures; `(N, 1, frames, bands)` or
            `(N, samples)` of audio; `(N, values)` of rows.
        """
        if self._first is not None and self._first.op == "row":
            from edgeinfer.preprocess.row import row_tensors

            return row_tensors(items, self._first)
        values: NDArray[np.float32] = self._spectra(items) if self._spectrum else items.astype(np.float32)
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
        """Run all steps on one source; return the tensor with a batch axis of 1."""
        return self.tensors(self.item(source)[None])

    def placed(self, source: object) -> tuple[Items, Placement]:
        """Decode, resize and crop one picture, as `item` does; return also where the result lies in it."""
        assert self._first is not None, "the rules of detectors ask for it"
        assert self._first.op == "decode", "likewise"
        picture = _picture_room()
        image, size = picture.decode(source, self._first, self._geometry)
        placement = place(self._geometry, *image.size)
        if image.size != size:
            placement = placement.of_picture(size)
        for step in self._geometry:
            image = (
                picture.resize(image, step) if isinstance(step, Resize) else picture.center_crop(image, step)
            )
        result: NDArray[np.uint8] = picture.pixels(image)
        return result, placement

    def _spectra(self, items: Items) -> NDArray[np.float32]:
        """Return `(N, 1, frames, bands)`, one item at a time: a larger product is rounded another way."""
        from edgeinfer.preprocess.spectrum import log_mel, mfcc

        assert self._first is not None, "the rules ask for it"
        assert self._first.op == "decode_audio", "likewise"
        assert self._spectrum is not None, "asked by the caller"
        spectra = []
        for item in items:
            spectrum = log_mel(item, self._spectrum, self._first.rate)
            if self._cepstrum:
                spectrum = mfcc(spectrum, self._cepstrum.coefficients)
            spectra.append(spectrum.astype(np.float32)[None])
        return np.stack(spectra)


def _picture_room() -> ModuleType:
    try:
        return imported("edgeinfer.preprocess.picture")
    except ImportError as error:
        raise EngineUnavailable(
            f"pictures need Pillow ({error})",
            next_step="pip install 'edgeinfer[image]', or hand in the preprocessed tensor",
        ) from error
