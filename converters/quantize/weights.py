"""Files whose weights are smaller and whose activations stay float: fp16, weight-only int8, dynamic int8.

* `fp16`: weights stored as float16. Arithmetic stays float32, which is what both engines do on a processor
  without float16, and what no activation can overflow; they turn the weights back once, at load.
* `weight-only`: weights stored as int8 per output channel, arithmetic float32.
* `dynamic`: weights int8, activations quantized to int8 anew at every run by their own range.

The latter two are for linear layers. ONNX Runtime has no fast integer convolution whose scale is known
only at run time (`ConvInteger` is missing from many builds), and turns int8 weights of a float layer
back at every run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from converters.quantize.onnx_int8 import WEIGHTED, output_axis
from converters.quantize.tflite_int8 import write_tflite
from edgeinfer.errors import ConversionError

_LARGEST_HALF = float(np.finfo(np.float16).max)
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_LINEAR = frozenset({"Gemm", "MatMul"})


def check_linear(float_path: Path, variant: str) -> None:
    """Refuse a network with convolutions, or without linear layers.

    Args:
        float_path: The fp32 ONNX file.
        variant: What was asked for.

    Raises:
        ConversionError: The variant does not suit the network.
    """
    kinds = [node.op_type for node in onnx.load(float_path, load_external_data=False).graph.node]
    convolutions, linear = (sum(kind in group for kind in kinds) for group in (_CONVOLUTIONS, _LINEAR))
    if convolutions or not linear:
        raise ConversionError(
            f"variant {variant!r} does not suit this network: its convolutions would run slower than in float, or not "
            "at all where a runtime lacks ConvInteger",
            found=f"{convolutions} convolutions, {linear} linear layers",
            expected="linear layers alone",
            next_step="leave it out of quantize.variants; int8 (static) and fp16 suit convolutions",
        )


def half_onnx(float_path: Path, path: Path) -> None:
    """Write an ONNX file whose layers have float16 weights, each followed by a Cast.

    Args:
        float_path: The fp32 file.
        path: Where to.

    Raises:
        ConversionError: A weight is too large for float16.
    """
    model = onnx.load(float_path)
    casts = []
    for name, (array, _) in _layer_weights(model).items():
        largest = float(np.abs(array).max(initial=0))
        if largest > _LARGEST_HALF:
            raise ConversionError(
                f"weight {name} does not fit float16",
                found=f"{largest:g}",
                expected=f"at most {_LARGEST_HALF:g}",
                next_step="leave fp16 out of quantize.variants, or train with more weight decay",
            )
        stored = f"{name}_float16"
        _replace(model, name, [numpy_helper.from_array(array.astype(np.float16), stored)])
        casts.append(helper.make_node("Cast", [stored], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT))
    _write(model, casts, path)


def half_tflite(float_path: Path, path: Path) -> None:
    """Write a TFLite file whose layers have float16 weights, each followed by a DEQUANTIZE.

    Args:
        float_path: The fp32 file.
        path: Where to.
    """
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    quantizing = quantizer.Quantizer(str(float_path))
    names = qtyping.TFLOperationName
    for kind in (names.CONV_2D, names.DEPTHWISE_CONV_2D, names.CONV_2D_TRANSPOSE, names.FULLY_CONNECTED):
        quantizing.add_weight_only_config(".*", kind, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    write_tflite(quantizing.quantize(enable_progress_report=False), path)


def weight_only_onnx(float_path: Path, path: Path) -> None:
    """Write an ONNX file whose linear layers have int8 weights, each followed by a DequantizeLinear.

    Symmetric, one scale per output channel: `max|w| / 127`.

    Args:
        float_path: The fp32 file.
        path: Where to.
    """
    model = onnx.load(float_path)
    nodes = []
    for name, (array, axis) in _layer_weights(model).items():
        others = tuple(each for each in range(array.ndim) if each != axis)
        largest = np.abs(array).max(others, keepdims=True)
        scale = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
        stored, scales, zeros = (f"{name}_{part}" for part in ("int8", "scale", "zero_point"))
        parts = [
            numpy_helper.from_array(np.clip(np.rint(array / scale), -127, 127).astype(np.int8), stored),
            numpy_helper.from_array(scale.ravel(), scales),
            numpy_helper.from_array(np.zeros(scale.size, np.int8), zeros),
        ]
        _replace(model, name, parts)
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [stored, scales, zeros], [name], f"{name}_dequantize", axis=axis
            )
        )
    _write(model, nodes, path)


def weight_only_tflite(float_path: Path, path: Path) -> None:
    """Write a TFLite file whose linear layers have int8 weights, each followed by a DEQUANTIZE.

    Args:
        float_path: The fp32 file.
        path: Where to.
    """
    from ai_edge_quantizer import quantizer, recipe

    quantizing = quantizer.Quantizer(str(float_path), recipe.weight_only_wi8_afp32())
    write_tflite(quantizing.quantize(enable_progress_report=False), path)


def dynamic_onnx(float_path: Path, path: Path) -> None:
    """Write an ONNX file whose linear layers quantize what they take at every run.

    Args:
        float_path: The fp32 file.
        path: Where to.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(float_path),
        str(path),
        op_types_to_quantize=sorted(_LINEAR),
        per_channel=True,
        weight_type=QuantType.QInt8,
    )


def dynamic_tflite(float_path: Path, path: Path) -> None:
    """Write a TFLite file whose linear layers quantize what they take at every run.

    Args:
        float_path: The fp32 file.
        path: Where to.
    """
    from ai_edge_quantizer import quantizer, recipe

    quantizing = quantizer.Quantizer(str(float_path), recipe.dynamic_wi8_afp32())
    write_tflite(quantizing.quantize(enable_progress_report=False), path)


def _layer_weights(model: onnx.ModelProto) -> dict[str, tuple[NDArray[np.float32], int]]:
    """Return, per initializer that is a layer's weight, its values and the axis of the output channels."""
    values = {each.name: each for each in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in values:
            array = numpy_helper.to_array(values[node.input[1]])
            if array.dtype == np.float32:
                found[node.input[1]] = (array, output_axis(node, array.ndim))
    return found


def _replace(model: onnx.ModelProto, name: str, parts: list[onnx.TensorProto]) -> None:
    kept = [each for each in model.graph.initializer if each.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *parts])


def _write(model: onnx.ModelProto, first: list[onnx.NodeProto], path: Path) -> None:
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString(deterministic=True))
