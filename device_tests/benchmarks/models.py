"""Bundles that benchmarks make for themselves: weights are random, which changes no time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from converters.distill.catalogue import build
from converters.distill.folding import folded
from converters.progress import Quiet
from converters.recipe import ResNetwork, load_recipe
from converters.search.cost import COST_BUNDLE, measure_cost
from converters.steps import Context
from edgeinfer.bundle import Binding, BlobSet, Input, Manifest, Output, Variant, steps_digest, write_bundle

MODELS = Path("sample_apps/models")


def mlp(path: Path, width: int = 2048, layers: int = 2) -> bytes:
    """Write a bundle of a multilayer perceptron, float32, with a free batch; return its ONNX file.

    Args:
        path: Where to write it.
        width: Of input, hidden layers and output.
        layers: Matrix products, each of `width * width` weights.
    """
    random = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for layer in range(layers):
        values = (random.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        last = layer == layers - 1
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], ["y" if last else f"h{layer}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{layer}"], [f"r{layer}"]))
            name = f"r{layer}"
    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["batch", width]) for each in "xy"]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    blobs, shape = BlobSet(), ("batch", width)
    variant = Variant(
        id="onnx-fp32",
        format="onnx",
        precision="fp32",
        blob=blobs.add(data),
        inputs={"x": Binding("x", "float32", shape)},
        outputs={"y": Binding("y", "float32", shape)},
        requires={"onnxruntime": "1.18"},
        opset=17,
    )
    manifest = Manifest(
        name=f"mlp-{width}",
        version="1",
        task="tensors",
        licence="CC0-1.0",
        intended_use="A benchmark.",
        inputs=(Input("x", "float32", shape, (), steps_digest(())),),
        outputs=(Output("y", "float32", shape),),
        variants=(variant,),
    )
    write_bundle(path, manifest, blobs)
    return data


def resnet8(folder: Path) -> Path:
    """Return a bundle with an untrained ResNet8 of the catalogue as int8 ONNX and TFLite, made as any student."""
    recipe = load_recipe(MODELS / "cifar10/recipe.toml")
    classes = [f"class {at}" for at in range(10)]
    record = {"classes": classes, "splits": {}, "sha256": "0" * 64, "duplicates": 0, "unreadable": []}
    (folder / "data.json").write_text(json.dumps(record))
    context = Context(recipe, {"data.json": folder / "data.json"}, folder, Quiet(), folder)
    measure_cost(folded(build(ResNetwork(), len(classes), recipe)), context)
    return folder / COST_BUNDLE
