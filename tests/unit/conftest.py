"""Bundles of one multiplication and pictures of one level, for tests that run commands on the real runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgeinfer.bundle import BlobSet, Manifest, write_bundle
from edgeinfer.testing import sample_manifest


def write_threshold_bundle(path: Path, threshold: float, **changes: object) -> Path:
    """A bundle that calls a 4 x 4 picture `light` where its mean, in -1..1, is above a threshold."""
    blobs = BlobSet()
    base = sample_manifest(blobs)
    variant = replace(
        base.variants[0],
        id="onnx-fp32",
        precision="fp32",
        blob=blobs.add(threshold_model(threshold)),
        requires={"onnxruntime": "1.18"},
        golden_outputs={},
    )
    plain = {"golden": None, "drift": None, "confusion": None, "cascade": None}
    manifest: Manifest = replace(base, variants=(variant,), **{**plain, **changes})
    write_bundle(path, manifest, blobs)
    return path


def threshold_model(threshold: float) -> bytes:
    """The model file: logits `s (mean - threshold)` and their negative."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
    ]
    weights = np.array([[4.0, -4.0]], np.float32)
    graph = helper.make_graph(
        nodes,
        "threshold",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(weights[0] * np.float32(-threshold), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def write_grey(path: Path, level: int) -> Path:
    """A grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), level, np.uint8)).save(path)
    return path


def write_grey_levels(folder: Path, levels: range) -> Path:
    """A folder with a picture a level, `light` from 128 on, else `dark`."""
    for level in levels:
        write_grey(folder / ("light" if level >= 128 else "dark") / f"{level}.png", level)
    return folder


@pytest.fixture
def threshold_bundle():
    return write_threshold_bundle


@pytest.fixture
def grey():
    return write_grey


@pytest.fixture
def grey_levels():
    return write_grey_levels
