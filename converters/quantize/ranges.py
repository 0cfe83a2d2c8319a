"""Value ranges of every activation, streamed: memory does not grow with the number of items.

ONNX Runtime's own histogram calibrators keep every batch's values until the end, which is why this
is ours: one histogram a tensor, of bounded size, into which each batch is merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from converters.quantize.clipping import Method, clipped_range
from converters.quantize.histogram import Histogram, histogram, merge
from edgeinfer.errors import ConversionError

# Float tensor name of the exported fp32 ONNX graph to (low, high).
Ranges = Mapping[str, tuple[float, float]]
Tensors = dict[str, NDArray[np.float32]]

# Bytes of activations that one batch may take.
_BATCH_BYTES = 32_000_000
_LARGEST_BATCH = 64


class Items(Protocol):
    """Calibration inputs that are read when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def tensors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the inputs `start` to `stop`, `(stop - start, ...) float32`."""


class Held:
    """Items that are in memory already."""

    def __init__(self, tensors: NDArray[np.float32]) -> None:
        self._tensors = tensors

    def __len__(self) -> int:
        return len(self._tensors)

    def tensors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return a slice."""
        return self._tensors[start:stop]


class OnnxActivations:
    """A float ONNX graph that gives every activation it computes, its input among them."""

    def __init__(self, path: Path) -> None:
        import onnx

        model = onnx.load(path)
        graph = model.graph
        known = {each.name for each in graph.output}
        for node in graph.node:
            for name in node.output:
                if name and name not in known:
                    graph.output.append(onnx.ValueInfoProto(name=name))
        self._session = onnx_session(model.SerializeToString(), optimize="none", arena=False)
        floats = {each.name for each in self._session.get_outputs() if each.type == "tensor(float)"}
        # In the order in which they are computed.
        self._outputs = [name for node in graph.node for name in node.output if name in floats]
        self.input: str = self._session.get_inputs()[0].name
        self.output: str = graph.output[0].name
        self.largest_batch = largest_batch(self._session, _LARGEST_BATCH)

    def run(self, tensors: NDArray[np.float32]) -> Tensors:
        """Return every float tensor by name, for a batch of inputs."""
        values = self._session.run(self._outputs, {self.input: tensors})
        return {self.input: tensors, **dict(zip(self._outputs, values, strict=True))}


def largest_batch(session: Any, most: int) -> int:
    """Return how many items an ONNX session takes at once: `most`, or 1 where its batch is a number."""
    return 1 if isinstance(session.get_inputs()[0].shape[0], int) else most


def batches(items: Items, size: int) -> Iterator[NDArray[np.float32]]:
    """Yield all items in batches of at most `size`."""
    for start in range(0, len(items), size):
        yield items.tensors(start, min(start + size, len(items)))


def collect_histograms(path: Path, items: Items) -> dict[str, Histogram]:
    """Run all items through a float ONNX graph and count every float tensor's values.

    Args:
        path: The fp32 file, its batch free or 1.
        items: At least one.

    Raises:
        ConversionError: There are no items, or a tensor is NaN or infinite for one.
    """
    if not len(items):
        raise ConversionError("no items to calibrate with", next_step="raise quantize.calibration_items")
    activations = OnnxActivations(path)
    one = activations.run(items.tensors(0, 1))
    size = max(1, min(activations.largest_batch, _BATCH_BYTES // sum(value.nbytes for value in one.values())))
    counted: dict[str, Histogram] = {}
    for batch in batches(items, size):
        for name, values in activations.run(batch).items():
            try:
                new = histogram(values)
            except ValueError:
                raise ConversionError(
                    f"calibrating met NaN or infinite values in tensor {name}",
                    expected="finite values for every calibration item",
                    next_step="check the data and the training of the student",
                ) from None
            counted[name] = merge(counted[name], new) if name in counted else new
    return counted


def collect_ranges(path: Path, items: Items, method: Method = "min-max", percentile: float = 99.99) -> Ranges:
    """Return the range of every float tensor of a float ONNX graph over all items.

    Args:
        path: The fp32 file, its batch free or 1.
        items: Calibration inputs.
        method: How ranges follow from values; see `clipped_range`.
        percentile: For the method `percentile`.

    Raises:
        ConversionError: There are no items, or a tensor is NaN or infinite for one.
    """
    counted = collect_histograms(path, items)
    return {name: clipped_range(each, method, percentile) for name, each in counted.items()}
