"""The input section of a recipe: what the student takes, and the preprocessing specification it makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgeinfer.bundle import (
    Decode,
    DecodeAudio,
    FitLength,
    Layout,
    LogMel,
    Mfcc,
    Normalize,
    PreprocessStep,
    Resize,
    Row,
    Scale,
)


@dataclass(frozen=True)
class ImageInput:
    """Pictures.

    Attributes:
        height: Rows.
        width: Columns.
        color: `RGB`, or `L` for grey.
        resize: `squash`, `fit-crop` or `letterbox`.
        filter: Resampling filter.
        mean: One value a channel, of pixels scaled to 0..1.
        std: One value a channel.
        max_pixels: Largest picture that will be decoded.
        jpeg_oversampling: Pixels that scaled decoding of a JPEG leaves for each one of the input, across and down;
            by default a JPEG is decoded whole.
    """

    height: int
    width: int
    color: Literal["RGB", "L"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["squash", "fit-crop", "letterbox"] = "squash"
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    max_pixels: int = 50_000_000
    jpeg_oversampling: int | None = None
    kind: Literal["image"] = "image"

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self.color == "RGB" else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of one preprocessed item, `(C, H, W)`."""
        return (self.channels, self.height, self.width)

    def of_items(self) -> ImageInput:
        """Return what training depends on beside the items: how they were decoded shows in their digests alone."""
        return replace(self, jpeg_oversampling=None)

    def decoding(self) -> tuple[PreprocessStep, ...]:
        """Return the steps that make an item, before anything is fitted to the data."""
        return (
            Decode(self.color, self.max_pixels, jpeg_oversampling=self.jpeg_oversampling),
            Resize(self.height, self.width, self.resize, self.filter),
        )

    def steps(self) -> tuple[PreprocessStep, ...]:
        """Return the specification that goes into the manifest and that training uses."""
        return (*self.decoding(), Scale(1 / 255), Normalize(self.mean, self.std), Layout("CHW"))


@dataclass(frozen=True)
class AudioInput:
    """Recordings, as log-mel spectra or MFCC.

    Attributes:
        rate: Samples a second, 8000 or 16000.
        seconds: Length to which a recording is cut or filled with silence.
        place: The part of a longer recording that is kept, and where a shorter one comes to lie.
        window_ms: Length of a frame.
        hop_ms: From one frame to the next.
        fft: Length of the transform; by default the power of two that holds a frame.
        mels: Bands.
        low_hz: Where the lowest band begins.
        high_hz: Where the highest band ends; half the rate by default.
        scale: Mel scale, `htk` or `slaney`.
        taper: Window function, `hann` or `hamming`.
        floor: Least power that the logarithm is taken of.
        coefficients: MFCC that are kept; without it the input is the log-mel spectrum.
        mean: One value a band, or one for all; fitted on the training split where it is left out.
        std: As `mean`.
        max_seconds: Longest recording that will be decoded.
        fitted: What was fitted; set by the data step.
    """

    rate: Literal[8000, 16000]
    seconds: float
    place: Literal["start", "center", "end"] = "start"
    window_ms: float = 32.0
    hop_ms: float = 16.0
    fft: int | None = None
    mels: int = 40
    low_hz: float = 20.0
    high_hz: float | None = None
    scale: Literal["htk", "slaney"] = "htk"
    taper: Literal["hann", "hamming"] = "hann"
    floor: float = 1e-6
    coefficients: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    max_seconds: float = 60.0
    fitted: Normalize | None = None
    kind: Literal["audio"] = "audio"

    @property
    def samples(self) -> int:
        """Samples of one item."""
        return round(self.rate * self.seconds)

    @property
    def spectrum(self) -> LogMel:
        """The step that makes the spectrum."""
        window = round(self.rate * self.window_ms / 1000)
        return LogMel(
            window=window,
            hop=round(self.rate * self.hop_ms / 1000),
            fft=self.fft or 1 << max(1, window - 1).bit_length(),
            mels=self.mels,
            low_hz=self.low_hz,
            high_hz=self.rate / 2 if self.high_hz is None else self.high_hz,
            scale=self.scale,
            taper=self.taper,
            floor=self.floor,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of one preprocessed item, `(1, frames, bands)`."""
        return (1, self.spectrum.frames(self.samples), self.coefficients or self.mels)

    def of_items(self) -> AudioInput:
        """Return what training depends on beside the items."""
        return self

    def decoding(self) -> tuple[PreprocessStep, ...]:
        """Return the steps before anything is fitted to the data."""
        cepstrum = () if self.coefficients is None else (Mfcc(self.coefficients),)
        decode = DecodeAudio(self.rate, self.max_seconds)
        return (decode, FitLength(self.samples, self.place), self.spectrum, *cepstrum)

    def steps(self) -> tuple[PreprocessStep, ...]:
        """Return the specification that goes into the manifest and that training uses.

        `mean` and `std` must be given, or fitted: the steps behind the data step see them so.
        """
        given = None if self.mean is None or self.std is None else Normalize(self.mean, self.std)
        normalize = given or self.fitted
        assert normalize is not None, "the data step comes first"
        return (*self.decoding(), normalize)


@dataclass(frozen=True)
class TableInput:
    """Rows of a table. Without `numeric` and `categorical` every column but the label is taken.

    Attributes:
        numeric: Columns of numbers.
        categorical: Columns of words.
        missing: Texts that stand for a missing value.
        fill: What a missing number is taken as: the `mean` or the `median` of the training split; or
            `refuse` the row.
        min_count: Words that occur less often in the training split count as unknown, so that the
            model learns what unknown means.
        fitted: Means, scales and vocabularies; set by the data step.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)
    fill: Literal["mean", "median", "refuse"] = "mean"
    min_count: int = 2
    fitted: Row | None = None
    kind: Literal["table"] = "table"

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of one preprocessed item, `(values,)`; 0 values before the data step has fitted them."""
        return (0 if self.fitted is None else self.fitted.width,)

    def of_items(self) -> TableInput:
        """Return what training depends on beside the items."""
        return self

    def steps(self) -> tuple[PreprocessStep, ...]:
        """Return the specification that goes into the manifest and that training uses."""
        assert self.fitted is not None, "the data step comes first"
        return (self.fitted,)


Input = ImageInput | AudioInput | TableInput
