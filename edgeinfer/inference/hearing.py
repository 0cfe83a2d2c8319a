"""A running recording heard through a model: windows, answers, and the mean of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import DecodeAudio, FitLength
from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen
from edgeinfer.inference.model import Model
from edgeinfer.inference.prediction import Prediction
from edgeinfer.inference.windows import Samples, Smoother, Window, windows


@frozen
class Heard:
    """What was heard in one window.

    Attributes:
        start_s: Where the window begins, in seconds from the first sample.
        end_s: Where it ends.
        label: The likeliest class, by the mean of the last windows' probabilities.
        confidence: That mean, 0..1.
        prediction: The answer for this window alone.
    """

    start_s: float
    end_s: float
    label: str
    confidence: float
    prediction: Prediction


def listen(
    model: Model, chunks: Iterable[Samples], *, rate: int, hop_s: float = 0.25, smooth: int = 3
) -> Iterator[Heard]:
    """Hear a running recording: an answer for each window of the length that the model takes.

    Holds one window, one chunk and the last `smooth` probabilities, however long the recording runs.

    Args:
        model: One that classifies recordings.
        chunks: `(n,) int16` of any lengths, as a microphone gives them.
        rate: Samples a second, one that the model's preprocessing takes.
        hop_s: From one window's start to the next one's, in seconds; at most a window.
        smooth: Windows whose probabilities are averaged; 1 for none.

    Raises:
        InputError: The model classifies no recordings, or the numbers make no sense.
    """
    steps = [step for each in model.manifest.inputs for step in each.preprocess]
    decode = next((step for step in steps if isinstance(step, DecodeAudio)), None)
    fit = next((step for step in steps if isinstance(step, FitLength)), None)
    if decode is None or fit is None or not model.labels:
        raise InputError(
            f"{model.manifest.name} cannot listen", expected="a model that classifies recordings"
        )
    length = round(fit.samples / decode.rate * rate)
    cut = windows(chunks, rate=rate, window=length, hop=round(hop_s * rate))
    return _heard(model, cut, (rate, length), Smoother(smooth))


def _heard(model: Model, cut: Iterator[Window], form: tuple[int, int], smooth: Smoother) -> Iterator[Heard]:
    rate, length = form
    for window in cut:
        prediction = model.predict((window.samples, rate))
        mean: NDArray[np.float64] = smooth(model._answer.probabilities(prediction.outputs))
        at = int(np.argmax(mean))
        end_s = window.start_s + length / rate
        assert model.labels, "checked by `listen`"
        yield Heard(window.start_s, end_s, model.labels[at], float(mean[at]), prediction)
