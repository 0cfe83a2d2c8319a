"""Runs of one item in memory that is bound to an ONNX Runtime session once, instead of anew for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeinfer.engines.seam import Array, TensorInfo

# Copying in and out costs less than binding anew up to about here.
_MOST_BYTES = 65_536


class OneItem:
    """Memory for one item's tensors, bound to a session. For one thread at a time.

    For a small model this saves two of twenty microseconds a run.

    Args:
        session: An `onnxruntime.InferenceSession` on the CPU.
        shapes: By input and output name, with a batch of 1.
    """

    def __init__(self, session: Any, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
        self._run = session.run_with_iobinding
        self._binding = session.io_binding()
        memory = {name: np.empty(shape, dtype) for name, (shape, dtype) in shapes.items()}
        names = [each.name for each in session.get_inputs()]
        self._inputs = {name: memory.pop(name) for name in names}
        self._outputs = memory
        for name, value in self._inputs.items():
            self._binding.bind_input(name, "cpu", 0, value.dtype, value.shape, value.ctypes.data)
        for name, value in self._outputs.items():
            self._binding.bind_output(name, "cpu", 0, value.dtype, value.shape, value.ctypes.data)

    def run_one(self, value: Array) -> Array:
        """Run the one input of a model that gives one output."""
        ((_, given),), ((_, taken),) = self._inputs.items(), self._outputs.items()
        given[...] = value
        self._run(self._binding)
        answer: Array = taken.copy()
        return answer

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run tensors of the shapes that this was made for."""
        for name, value in self._inputs.items():
            value[...] = inputs[name]
        self._run(self._binding)  # options would cost 30 us here
        return {name: value.copy() for name, value in self._outputs.items()}


def shapes_of_one(
    inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> dict[str, tuple[tuple[int, ...], str]] | None:
    """Return shape and dtype by tensor name for one item, or None where memory for it cannot be bound beforehand.

    That is so where a length but the batch's is free, so that outputs may have another one each time, and where tensors
    are large.
    """
    batch = inputs[0].shape[:1]
    found = {}
    for each in (*inputs, *outputs):
        if not each.shape or each.dtype.startswith("tensor("):
            return None
        free = isinstance(batch[0], str) and each.shape[0] == batch[0]
        shape = (1, *each.shape[1:]) if free else each.shape
        if not all(isinstance(length, int) for length in shape):
            return None
        found[each.name] = (tuple(int(length or 0) for length in shape), each.dtype)
    size = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in found.values())
    return found if len(found) == len(inputs) + len(outputs) and 0 < size <= _MOST_BYTES else None
