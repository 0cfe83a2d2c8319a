"""A float file and a quantized form of it, run side by side on the same inputs, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class Seen(NamedTuple):
    """One tensor of both files for one batch, dequantized."""

    tensor: str
    reference: Array
    given: Array


class FilePair(Protocol):
    """Both files of one format.

    Tensors are named as the float file names them; `bytes` counts the constants (weights, biases,
    scales) that the quantized file stores for the operation behind each tensor.
    """

    @property
    def bytes(self) -> Mapping[str, int]:
        """Return stored bytes per tensor."""

    @property
    def twins(self) -> Mapping[str, str]:
        """Return the name of the quantized file's tensor per tensor of the float file."""

    def reference(self, batch: NDArray[np.float32]) -> dict[str, Array]:
        """Return the float file's tensors for a batch `(N, ...)`, channels first, with `N` rows each."""

    def observe(self, batch: NDArray[np.float32]) -> Iterator[Seen]:
        """Run a batch `(N, ...)`, channels first, through both files and yield every tensor that both have."""
