"""Small ONNX models with the faults of real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weight(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    """Seeded float32 values."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def classifier(
    *, batch: int | str = 1, opset: int = 17, reshape: bool = True, classes: int = 4, side: int | str = 8
) -> onnx.ModelProto:
    """`(batch, 3, 8, 8)` pictures to logits: convolution, ReLU, mean, reshape to (1, 6), matrix product.

    Args:
        batch: Of input and output.
        opset: Operator set.
        reshape: Whether the shape names the batch of 1, as exporters write it that were given one picture.
        classes: Length of the logits.
        side: Height and width.
    """
    shape = numpy_helper.from_array(np.array([1 if reshape else -1, 6], np.int64), "shape")
    nodes = [
        helper.make_node("Conv", ["pixels", "conv.weight", "conv.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Reshape", ["c", "shape"], ["d"]),
        helper.make_node("Gemm", ["d", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        [
            weight("conv.weight", 6, 3, 3, 3),
            weight("conv.bias", 6, seed=1),
            shape,
            weight("fc.weight", classes, 6, seed=2),
            weight("fc.bias", classes, seed=3),
        ],
    )
    version = 13 if opset > 23 else 11 if opset > 22 else 10 if opset > 20 else 8
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)


def detector() -> onnx.ModelProto:
    """`(1, 3, 16, 16)` pictures to scores `(1, 16, 2)` and boxes `(1, 16, 4)`: how bright each of 4 x 4 cells is."""
    cells = np.array(
        [[x / 4, y / 4, (x + 1) / 4, (y + 1) / 4] for y in range(4) for x in range(4)], np.float32
    )
    kernel = np.stack([np.full((3, 4, 4), -0.2, np.float32), np.full((3, 4, 4), 0.2, np.float32)])
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["a"], strides=[4, 4]),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["c"], ["scores"], axis=2),
        helper.make_node("Slice", ["c", "zero", "one", "last"], ["d"]),
        helper.make_node("Mul", ["d", "none"], ["e"]),
        helper.make_node("Add", ["e", "cells"], ["boxes"]),
    ]
    integers = {"flat": [0, 2, 16], "zero": [0], "one": [1], "last": [2]}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 16, 16])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 16, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 16, 4]),
        ],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(cells[None], "cells"),
            numpy_helper.from_array(np.float32(0), "none"),
            *(numpy_helper.from_array(np.array(v, np.int64), name) for name, v in integers.items()),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and return its path."""
    path.write_bytes(model.SerializeToString())
    return path
