"""The steps from a recording to a tensor, as data; docs/bundle-format.md defines each to the last rounding."""

from __future__ import annotations

import math
from typing import Literal

from edgeinfer.frozen import frozen

Place = Literal["start", "center", "end"]
Taper = Literal["hann", "hamming"]
MelScale = Literal["htk", "slaney"]

# Rates between which the resampler's table stays small; nearly every recording has one of them.
SAMPLE_RATES = (
    8_000,
    11_025,
    12_000,
    16_000,
    22_050,
    24_000,
    32_000,
    44_100,
    48_000,
    88_200,
    96_000,
    176_400,
    192_000,
)


@frozen
class DecodeAudio:
    """WAV file to `(T,) int16` at the declared rate, channels averaged.

    Attributes:
        rate: Samples a second of the result.
        max_seconds: Length above which a recording is refused before it is decoded.
        max_bytes: Size of the file above which it is refused before it is read.
    """

    rate: int
    max_seconds: float = 60.0
    max_bytes: int = 67_108_864
    op: Literal["decode_audio"] = "decode_audio"


@frozen
class FitLength:
    """`(T,) int16` to `(samples,) int16`, cut or filled with zeros.

    Attributes:
        samples: Length of the result.
        place: The part of a longer recording that is kept, and where a shorter one comes to lie.
    """

    samples: int
    place: Place = "start"
    op: Literal["fit_length"] = "fit_length"


@frozen
class LogMel:
    """`(samples,) int16` to `(1, frames, mels) float32`: the logarithm of mel-band power.

    Attributes:
        window: Samples of a frame.
        hop: Samples from one frame to the next.
        fft: Length of the transform; a frame is filled up with zeros.
        mels: Bands.
        low_hz: Where the lowest band begins.
        high_hz: Where the highest band ends.
        scale: Mel scale of the band edges.
        taper: What a frame is multiplied by.
        floor: Least power that the logarithm is taken of.
    """

    window: int
    hop: int
    fft: int
    mels: int
    low_hz: float
    high_hz: float
    scale: MelScale = "htk"
    taper: Taper = "hann"
    floor: float = 1e-6
    op: Literal["log_mel"] = "log_mel"

    def frames(self, samples: int) -> int:
        """Return the number of whole frames in so many samples."""
        return 1 + (samples - self.window) // self.hop if samples >= self.window else 0


@frozen
class Mfcc:
    """`(1, frames, mels)` to `(1, frames, coefficients)`: the first coefficients of the orthonormal DCT-II."""

    coefficients: int
    op: Literal["mfcc"] = "mfcc"


AudioStep = DecodeAudio | FitLength | LogMel | Mfcc


def mel(hertz: float, scale: MelScale) -> float:
    """Return the mel value of a frequency.

    `htk`: 2595 log10(1 + f / 700) (O'Shaughnessy 1987). `slaney`: 3 f / 200 up to 1 kHz, above it
    15 + 27 ln(f / 1000) / ln 6.4 (Slaney 1998, Auditory Toolbox).
    """
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def hertz(mel_value: float, scale: MelScale) -> float:
    """Return the frequency of a mel value, the inverse of `mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel_value / 2595) - 1)
    return mel_value * 200 / 3 if mel_value < 15 else 1000 * math.exp((mel_value - 15) / 27 * math.log(6.4))


def band_edges(step: LogMel) -> list[float]:
    """Return the `mels + 2` frequencies in Hz between which the bands lie, equally far apart in mel."""
    low, high = mel(step.low_hz, step.scale), mel(step.high_hz, step.scale)
    return [hertz(low + (high - low) * at / (step.mels + 1), step.scale) for at in range(step.mels + 2)]
