"""Which TFLite tensor holds the values of which ONNX tensor: found by running both on the same inputs.

Names do not tell: each exporter has its own. Equal values do, whatever the layout.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.export.tflite_session import tflite_operators, tflite_session
from converters.quantize.ranges import Items, OnnxActivations, Ranges, Tensors
from edgeinfer.errors import ConversionError

# Kernels of the two engines sum in another order: differences are seen up to 1e-5 of the largest value.
_EQUAL = 1e-3
_PROBES = 4
# Operators that move values, or add zeros, and so leave the range of their first input as it is.
MOVING = frozenset({"PAD", "TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE", "SLICE"})


class TfliteActivations:
    """A float TFLite file, batch 1, that gives every activation it computes, its input among them."""

    def __init__(self, path: Path) -> None:
        self._interpreter = tflite_session(path)
        details = self._interpreter.get_tensor_details()
        self._names: dict[int, str] = {each["index"]: each["name"] for each in details}
        (input_,) = self._interpreter.get_input_details()
        self._input_at: int = input_["index"]
        self._permute = (0, 2, 3, 1) if len(input_["shape"]) == 4 else None
        self._ops = tflite_operators(self._interpreter)
        outputs = {int(at) for op in self._ops for at in op["outputs"]} | {self._input_at}
        self._floats = sorted(
            each["index"] for each in details if each["index"] in outputs and each["dtype"] == np.float32
        )

    @property
    def names(self) -> list[str]:
        """Names of the float activations."""
        return [self._names[at] for at in self._floats]

    def run(self, tensor: NDArray[np.float32]) -> Tensors:
        """Return every float activation by name.

        Args:
            tensor: One input as the ONNX file takes it, `(1, C, H, W) float32` for pictures.
        """
        own = tensor if self._permute is None else tensor.transpose(self._permute)
        self._interpreter.set_tensor(self._input_at, np.ascontiguousarray(own))
        self._interpreter.invoke()
        return {self._names[at]: self._interpreter.get_tensor(at) for at in self._floats}

    def outputs_of(self, operators: Collection[str]) -> list[str]:
        """Return the first output of every operator of these kinds, in the order in which they run."""
        return [output for operator, _, output in self.operators() if operator in operators]

    def moved_from(self) -> dict[str, str]:
        """Return, per tensor that an operator only moved or padded, the tensor it took."""
        return {output: source for operator, source, output in self.operators() if operator in MOVING}

    def operators(self) -> list[tuple[str, str, str]]:
        """Return the kind, first input and first output of every operator, in the order in which they run."""
        return [
            (op["op_name"], self._names[int(op["inputs"][0])], self._names[int(op["outputs"][0])])
            for op in self._ops
        ]


def map_tensors(onnx_path: Path, tflite_path: Path, items: Items) -> dict[str, str]:
    """Return the ONNX tensor per TFLite tensor that holds the same values, for all where there is one.

    Args:
        onnx_path: The fp32 ONNX file.
        tflite_path: The fp32 TFLite file of the same network.
        items: Inputs; the first few are run.

    Raises:
        ConversionError: The files' outputs are not equal.
    """
    one, other = OnnxActivations(onnx_path), TfliteActivations(tflite_path)
    found: dict[str, dict[str, float]] = {}
    for at in range(min(_PROBES, len(items))):
        tensor = items.tensors(at, at + 1)
        wanted = one.run(tensor)
        for name, values in other.run(tensor).items():
            distances = _distances(values, wanted)
            if name in found:
                distances = {
                    key: max(value, found[name][key])
                    for key, value in distances.items()
                    if key in found[name]
                }
            found[name] = distances
    # Of equal tensors the last computed: behind a ReLU that changed nothing, its output.
    mapped = {name: min(reversed(each), key=each.__getitem__) for name, each in found.items() if each}
    if one.output not in mapped.values():
        raise ConversionError(
            f"{tflite_path.name} and {onnx_path.name} do not give the same output",
            expected=f"logits equal within {_EQUAL:g} of the largest",
            next_step="compare the layers of both files with PyTorch's",
        )
    return mapped


def tflite_ranges(path: Path, mapped: Mapping[str, str], ranges: Ranges, items: Items) -> Ranges:
    """Return the same ranges under the TFLite file's tensor names.

    A tensor that only this file has gets the range of what it was moved or padded from; where it was
    computed, its smallest and largest value over the items in this file.

    Args:
        path: The fp32 TFLite file.
        mapped: From `map_tensors`.
        ranges: Of the ONNX tensors.
        items: Calibration inputs.
    """
    activations = TfliteActivations(path)
    given = {name: ranges[mapped[name]] for name in activations.names if name in mapped}
    moved = activations.moved_from()
    for name in activations.names:
        source = name
        while source not in given and source in moved:
            source = moved[source]
        if source in given:
            given[name] = given[source]
    missing = [name for name in activations.names if name not in given]
    return {**given, **_measured(activations, missing, items)} if missing else given


def _measured(activations: TfliteActivations, names: list[str], items: Items) -> Ranges:
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for at in range(len(items)):
        values = activations.run(items.tensors(at, at + 1))
        for name in names:
            low[name] = min(low[name], float(values[name].min()))
            high[name] = max(high[name], float(values[name].max()))
    return {name: (low[name], high[name]) for name in names}


def _distances(values: NDArray[np.float32], wanted: Tensors) -> dict[str, float]:
    """Return, per tensor of equal size and values, the largest difference as a share of the largest value."""
    found = {}
    for name, other in wanted.items():
        if other.size != values.size:
            continue
        scale = max(float(np.abs(other).max()), 1e-30)
        distance = min((_distance(own, other) for own in _layouts(values, other.ndim)), default=math.inf)
        if distance / scale < _EQUAL:
            found[name] = distance / scale
    return found


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max()) if one.shape == other.shape else math.inf


def _layouts(values: NDArray[np.float32], rank: int) -> list[NDArray[np.float32]]:
    """Return the values as they would lie in a tensor of that rank: as they are, or channels first."""
    if values.ndim == rank == 4:
        return [values, values.transpose(0, 3, 1, 2)]
    if values.ndim == rank == 3:
        return [values, values.transpose(0, 2, 1)]
    squeezed = values.squeeze()
    return [squeezed[None]] if squeezed.ndim == rank - 1 else []
