"""Intermediate tensors of a float ONNX file and its quantized form.

What is observed of a quantized tensor is the integer behind its QuantizeLinear, made a number again by
its scale and zero point: asking for integers keeps the fusions of the engine, asking for the float before
them would undo them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from converters.verify.file_pairs import Array, Seen
from converters.verify.skeleton import Graph, Operation, paired

_QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
# Max and Min: what keeps an excluded layer from being quantized again when the file is loaded.
_ACTIVATIONS = frozenset({"Relu", "Clip", "Max", "Min"})
_MOVES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Pad", "Identity", "Cast", "Constant"}
    | {"Shape", "Gather", "Concat", "Slice", "Expand"}
)


@dataclass(frozen=True)
class _Watched:
    """A tensor of the quantized file: what to ask for, and how it becomes numbers."""

    name: str
    scale: float | None = None
    zero_point: int = 0

    def numbers(self, value: Array) -> Array:
        if self.scale is None:
            return value
        return ((value.astype(np.float32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)


class OnnxPair:
    """Runs both files in ONNX Runtime, with every tensor that both have as an output."""

    def __init__(self, float_path: Path, quantized_path: Path) -> None:
        first, second = onnx.load(float_path), onnx.load(quantized_path)
        graph, other = _graph(first), _graph(second)
        stored = _stored(second)
        self._watched: dict[str, _Watched] = {}
        self.bytes: dict[str, int] = {}
        for one, two in paired(graph, other):
            name = graph.settled(one)
            self._watched[name] = _watch(second, other.settled(two))
            # A constant that several layers share counts for the first.
            self.bytes[name] = sum(stored.pop(each, 0) for each in other.constants(two))
        self._input = first.graph.input[0].name
        entry = _watch(second, second.graph.input[0].name)
        self._entry = entry if entry.scale is not None else None
        self._float = _session(first, list(self._watched))
        asked = [each.name for each in self._watched.values()] + ([self._entry.name] if self._entry else [])
        self._quantized = _session(second, asked)
        self._asked = asked
        self._quantized_input = second.graph.input[0].name

    @property
    def twins(self) -> Mapping[str, str]:
        """Return the name of the quantized file's tensor per tensor of the float file."""
        pairs = {name: watched.name for name, watched in self._watched.items()}
        return {self._input: self._entry.name if self._entry else self._quantized_input, **pairs}

    def reference(self, batch: NDArray[np.float32]) -> dict[str, Array]:
        """Return the float file's tensors for a batch."""
        names = list(self._watched)
        values = _values(self._float, names, self._input, batch)
        return {self._input: batch, **dict(zip(names, values, strict=True))}

    def observe(self, batch: NDArray[np.float32]) -> Iterator[Seen]:
        """Run a batch through both files and yield every tensor that both have."""
        float_values = self.reference(batch)
        values = _values(self._quantized, self._asked, self._quantized_input, batch)
        integers = dict(zip(self._asked, values, strict=True))
        if self._entry is not None:
            yield Seen(self._input, batch, self._entry.numbers(integers[self._entry.name]))
        for name, watched in self._watched.items():
            yield Seen(name, float_values[name], watched.numbers(integers[watched.name]))


def _values(session: Any, names: list[str], entry: str, batch: NDArray[np.float32]) -> list[Array]:
    # ONNX Runtime takes no names for all of them.
    values: list[Array] = session.run(names, {entry: batch}) if names else []
    return values


def _graph(model: onnx.ModelProto) -> Graph:
    operations = tuple(
        Operation(node.op_type, tuple(name for name in node.input if name), tuple(node.output))
        for node in model.graph.node
    )
    results = tuple(output.name for output in model.graph.output)
    return Graph(operations, results, _QUANTIZING, _ACTIVATIONS, _MOVES)


def _watch(model: onnx.ModelProto, tensor: str) -> _Watched:
    """Return the integers that a tensor is stored as, or the tensor where it stays a float."""
    constants = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] == tensor:
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            zero = onnx.numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else 0
            if np.size(scale) == 1:
                return _Watched(node.output[0], float(np.ravel(scale)[0]), int(np.ravel(zero)[0]))
    return _Watched(tensor)


def _stored(model: onnx.ModelProto) -> dict[str, int]:
    return {each.name: onnx.numpy_helper.to_array(each).nbytes for each in model.graph.initializer}


def _session(model: onnx.ModelProto, tensors: list[str]) -> Any:
    """Return a session of a copy of a model that gives these tensors too."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    inferred = onnx.shape_inference.infer_shapes(watched).graph.value_info
    kinds = {each.name: each.type.tensor_type.elem_type for each in inferred}
    given = {output.name for output in watched.graph.output}
    for name in dict.fromkeys(tensors):
        if name not in given:
            kind = kinds.get(name, onnx.TensorProto.FLOAT)
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return onnx_session(watched.SerializeToString())
