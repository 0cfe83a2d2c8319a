"""Intermediate tensors of a float TFLite file and its quantized form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.export.tflite_session import tflite_operators, tflite_session
from converters.verify.file_pairs import Array, Seen
from converters.verify.skeleton import Graph, Operation, paired

_QUANTIZING = frozenset({"QUANTIZE", "DEQUANTIZE"})
_ACTIVATIONS = frozenset({"RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"})
_MOVES = frozenset(
    {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "PADV2", "CAST", "SHAPE", "PACK"}
    | {"STRIDED_SLICE", "SLICE", "GATHER", "BROADCAST_TO"}
)


class TflitePair:
    """Runs both files in LiteRT, one item at a time, with every tensor kept."""

    def __init__(self, float_path: Path, quantized_path: Path) -> None:
        self._float, self._quantized = _File(float_path), _File(quantized_path)
        graph, other = self._float.graph(), self._quantized.graph()
        self._pairs: dict[str, str] = {}
        self.bytes: dict[str, int] = {}
        counted: set[str] = set()
        for one, two in paired(graph, other):
            name = graph.settled(one)
            self._pairs[name] = other.settled(two)
            own = [each for each in other.constants(two) if each not in counted]
            # A constant that several layers share counts for the first.
            counted.update(own)
            self.bytes[name] = sum(self._quantized.stored(each) for each in own)
        entry = [
            each.outputs[0]
            for each in other.operations
            if each.kind == "QUANTIZE" and each.inputs[0] == self._quantized.input
        ]
        if entry:
            self._pairs[self._float.input] = entry[0]

    @property
    def twins(self) -> Mapping[str, str]:
        """Return the name of the quantized file's tensor per tensor of the float file."""
        return {self._float.input: self._quantized.input, **self._pairs}

    def reference(self, batch: NDArray[np.float32]) -> dict[str, Array]:
        """Return the float file's tensors for a batch."""
        rows: dict[str, list[Array]] = {name: [] for name in (*self._pairs, self._float.input)}
        for item in batch:
            self._float.invoke(item)
            for name, values in rows.items():
                values.append(self._float.value(name))
        return {name: np.concatenate(values) for name, values in rows.items()}

    def observe(self, batch: NDArray[np.float32]) -> Iterator[Seen]:
        """Run a batch through both files and yield every tensor that both have."""
        for item in batch:
            self._float.invoke(item)
            self._quantized.invoke(item)
            for name, other in self._pairs.items():
                yield Seen(name, self._float.value(name), self._quantized.value(other))


class _File:
    """One interpreter; its tensors are named by their index."""

    def __init__(self, path: Path) -> None:
        self._interpreter = tflite_session(path)
        self._details: Mapping[str, Any] = {
            str(each["index"]): each for each in self._interpreter.get_tensor_details()
        }
        self.input = str(self._interpreter.get_input_details()[0]["index"])

    def graph(self) -> Graph:
        operations = tuple(
            Operation(
                each["op_name"],
                tuple(str(at) for at in each["inputs"] if at >= 0),
                tuple(str(at) for at in each["outputs"]),
            )
            for each in tflite_operators(self._interpreter)
        )
        results = tuple(str(each["index"]) for each in self._interpreter.get_output_details())
        return Graph(operations, results, _QUANTIZING, _ACTIVATIONS, _MOVES)

    def stored(self, tensor: str) -> int:
        """Return the bytes that a constant and its scales (float32) and zero points (int64) take."""
        if tensor == self.input:
            return 0
        details = self._details[tensor]
        size: int = int(np.prod(details["shape"])) * np.dtype(details["dtype"]).itemsize
        return size + 12 * len(details["quantization_parameters"]["scales"])

    def invoke(self, item: NDArray[np.float32]) -> None:
        shape = tuple(self._details[self.input]["shape"])
        last = np.moveaxis(item, 0, -1)[None]
        given = last if item.ndim > 1 and last.shape == shape else item[None]
        self._interpreter.set_tensor(int(self.input), np.ascontiguousarray(given))
        self._interpreter.invoke()

    def value(self, tensor: str) -> Array:
        """Return a tensor, dequantized."""
        value: Array = self._interpreter.get_tensor(int(tensor))
        scale, zero_point = self._details[tensor]["quantization"]
        if not scale:
            return value
        numbers: Array = ((value.astype(np.float32) - zero_point) * np.float32(scale)).astype(np.float32)
        return numbers
