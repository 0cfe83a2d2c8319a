"""An engine that needs no library: the answer is a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeinfer.engines import EngineInfo, Session, SessionOptions, TensorInfo
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EdgeInferError

Answer = Callable[[Array], Array]


def mean_logits(image: Array) -> Array:
    """Return `(N, 2) float32` logits: the mean of each picture, and its negative."""
    mean = image.reshape(len(image), -1).mean(1, dtype=np.float32)
    return np.stack([mean, -mean], axis=1)


@dataclass
class FakeEngine:
    """Implements the Engine protocol for the sample bundle, without a model.

    Attributes:
        answer: From the input tensor to the output tensor.
        name: Engine name.
        formats: Formats it claims to run.
        package: Distribution it claims to come from.
        version: Version of that.
        fails_on_info: Raised instead of saying what is here.
        fails_on_load: Raised instead of loading.
        fails_on_run: Raised instead of answering.
        loaded: Model bytes that were loaded, in order.
    """

    answer: Answer = mean_logits
    name: str = "fake"
    formats: frozenset[str] = frozenset({"onnx", "tflite"})
    package: str = "fake-engine"
    version: str = "1.0"
    fails_on_info: EdgeInferError | None = None
    fails_on_load: EdgeInferError | None = None
    fails_on_run: EdgeInferError | None = None
    loaded: list[bytes] = field(default_factory=list)

    def info(self) -> EngineInfo:
        """Say what was set."""
        if self.fails_on_info:
            raise self.fails_on_info
        return EngineInfo(self.name, self.package, self.version, ("memory",))

    def load(self, model: bytes, options: SessionOptions) -> Session:  # noqa: ARG002
        """Remember the bytes."""
        if self.fails_on_load:
            raise self.fails_on_load
        self.loaded.append(model)
        return _FakeSession(self)


class _FakeSession:
    provider = "memory"
    inputs = (TensorInfo("image", "float32", ("batch", 1, 4, 4)),)
    outputs = (TensorInfo("logits", "float32", ("batch", 2)),)

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._engine.fails_on_run:
            raise self._engine.fails_on_run
        return {"logits": self._engine.answer(inputs["image"])}

    def close(self) -> None:
        pass
