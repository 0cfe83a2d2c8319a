"""Whether two ONNX models compute the same, found by running both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from edgeinfer.errors import ConversionError

Array = NDArray[Any]
# Kernels sum in another order for another batch or operator set; differences up to 1e-6 of the largest
# value were seen.
_EQUAL = 1e-4
_PROBES = 3
_DTYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.UINT8: np.uint8,
    onnx.TensorProto.INT8: np.int8,
}


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that can be changed by itself."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def outputs_of(model: onnx.ModelProto, fed: Array, names: list[str] | None = None) -> dict[str, Array]:
    """Return outputs by name, of ONNX Runtime without its optimizations.

    Args:
        model: With one input that is no weight.
        fed: For that input.
        names: Outputs wanted; None for all.

    Raises:
        ConversionError: The runtime refuses the model or fails on it.
    """
    import onnxruntime

    weights = {each.name for each in model.graph.initializer}
    (name,) = [each.name for each in model.graph.input if each.name not in weights]
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4
    try:
        session = onnx_session(model.SerializeToString(), optimize="none")
        wanted = names or [each.name for each in session.get_outputs()]
        return dict(zip(wanted, session.run(wanted, {name: fed}, quiet), strict=True))
    except Exception as error:  # its exceptions share no base of their own
        raise ConversionError(
            f"onnxruntime {onnxruntime.__version__} cannot run the model ({_first_line(error)})",
            next_step="replace or remove the operator it names and export again, or install a newer onnxruntime",
        ) from error


def probes(model: onnx.ModelProto) -> Array:
    """Return `(3, ...)` inputs that differ, of the type and lengths that a model's one input has.

    Raises:
        ConversionError: It takes a type that no preprocessing makes.
    """
    (declared,) = model.graph.input
    tensor = declared.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype is None:
        found = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ConversionError(
            f"input {declared.name} is of a type that is not made here",
            found=found.lower(),
            expected="float32, uint8 or int8",
            next_step="export with a float32 input",
        )
    shape = [each.dim_value for each in tensor.shape.dim][1:]
    generator = np.random.default_rng(0)
    if dtype == np.float32:
        values: Array = generator.normal(size=(_PROBES, *shape)).astype(np.float32)
    else:
        least = -128 if dtype == np.int8 else 0
        values = generator.integers(least, least + 256, (_PROBES, *shape)).astype(dtype)
    return values


def repeated(inputs: Array, count: int) -> Array:
    """Return `count` of the inputs, from the first again where there are fewer."""
    return np.concatenate([inputs] * (count // len(inputs) + 1))[:count]


def same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Return whether outputs are of equal shapes, and equal but for rounding."""
    for name, value in one.items():
        if value.shape != other[name].shape or value.dtype != other[name].dtype:
            return False
        if value.dtype.kind != "f":
            if not np.array_equal(value, other[name]):
                return False
        elif difference(value, other[name]) > _EQUAL:
            return False
    return True


def difference(one: Array, other: Array) -> float:
    """Return the largest difference, as a share of the largest value; infinite where there is a NaN."""
    largest = float(np.abs(one.astype(np.float64)).max(initial=0.0))
    apart = float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))
    if not np.isfinite(largest) or not np.isfinite(apart):
        return float("inf")
    return apart / largest if largest > 0 else apart


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
