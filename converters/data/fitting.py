"""What a specification leaves to the data, fitted on the training split alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.data.tables import Cells, fit, kinds
from converters.recipe import AudioInput, Input, TableInput
from edgeinfer.bundle import Normalize
from edgeinfer.preprocess import Preprocessor

_BATCH = 256
# A band that is silent everywhere must not be blown up to noise.
_LEAST_STD = 0.01


def fit_audio(input_: AudioInput, items: NDArray[np.int16], rows: Sequence[int]) -> Input:
    """Return the input with mean and standard deviation of every band.

    Args:
        input_: The recipe's; one with a mean of its own is returned as it is.
        items: `(N, samples) int16`, all of them.
        rows: Which belong to the training split.
    """
    if input_.mean is not None:
        return input_
    preprocess, frames = Preprocessor(input_.decoding()), 0
    sums, squares = np.zeros(input_.shape[-1]), np.zeros(input_.shape[-1])
    for start in range(0, len(rows), _BATCH):
        tensors = preprocess.tensors(items[list(rows[start : start + _BATCH])]).astype(np.float64)
        sums += tensors.sum((0, 1, 2))
        squares += np.square(tensors).sum((0, 1, 2))
        frames += tensors.shape[0] * tensors.shape[2]
    mean = sums / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, _LEAST_STD**2))
    # Six decimals are far below what a spectrum means, and can be read.
    means, stds = (tuple(round(float(value), 6) for value in each) for each in (mean, std))
    return replace(input_, fitted=Normalize(means, stds))


def fit_table(input_: TableInput, labelled: Sequence[Cells], training: Sequence[Cells]) -> TableInput:
    """Return the input with every column's mean and scale, or vocabulary.

    Args:
        input_: The recipe's.
        labelled: Rows of all splits that have a class: they tell which columns are numeric.
        training: Rows of the training split.

    Raises:
        DataError: A column has no value, or no word that occurs often enough.
    """
    named = kinds(labelled, input_)
    return replace(named, fitted=fit(training, named))
