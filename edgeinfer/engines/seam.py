"""The seam that every engine is behind. A new engine is one file and one line in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeinfer.bundle import Quantization

    Array = NDArray[np.generic]
else:
    Array = np.ndarray


@frozen
class EngineInfo:
    """An engine that is there.

    Attributes:
        name: Its name in edgeinfer: `onnxruntime` or `litert`.
        package: The distribution that provides it here.
        version: That distribution's version.
        accelerators: What it can compute on, in its own words; the first is what it takes unasked.
    """

    name: str
    package: str
    version: str
    accelerators: tuple[str, ...]


@frozen
class SessionOptions:
    """How a session runs.

    Attributes:
        threads: Threads that one call may use, at least 1. Idle threads sleep; they never spin.
        provider: What to compute on, one of the engine's accelerators; None takes the first.
        cache: Folder in which the engine may keep what it made of a model file, or None.
    """

    threads: int = 1
    provider: str | None = None
    cache: str | None = None


@frozen
class TensorInfo:
    """A model's own input or output: a length, or a name or None where the length is free."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    quantization: Quantization | None = None


class Session(Protocol):
    """A loaded model. `run` may be called from several threads, and by several at once.

    One that takes one tensor and gives one may have `run_one` beside it, which takes the array and returns the array:
    for a model of a few microseconds the two dicts show.
    """

    @property
    def provider(self) -> str:
        """What it really computes on, in the engine's words."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What the model file takes."""

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What it gives."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Args:
            inputs: Arrays, of any strides, by the file's own tensor names, of its types and shapes.

        Returns:
            Arrays by the file's own tensor names, which the caller may keep.

        Raises:
            EngineRunError: The engine failed, whatever it raised.
        """

    def close(self) -> None:
        """Free the model's memory."""


class Engine(Protocol):
    """Something that runs model files of one or more formats."""

    @property
    def name(self) -> str:
        """Its name in edgeinfer."""

    @property
    def formats(self) -> frozenset[str]:
        """The manifest formats that it runs."""

    def info(self) -> EngineInfo:
        """Say which version is here.

        Raises:
            EngineUnavailable: It is not installed or cannot be imported; says how to get it.
        """

    def load(self, model: bytes, options: SessionOptions) -> Session:
        """Load a model file.

        Raises:
            EngineUnavailable: The engine is not installed, or cannot compute on the provider asked for.
            ModelLoadError: The engine refused the file, whatever it raised.
        """
