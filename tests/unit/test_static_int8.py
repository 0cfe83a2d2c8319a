"""Static int8 of small residual, separable, plain and linear networks: both formats give the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from converters.distill.convnet import ConvNet
from converters.distill.folding import folded
from converters.distill.mlp import Mlp
from converters.distill.resnet import ResNet
from converters.distill.separable import SeparableNet
from converters.export.float_models import export_onnx, export_tflite
from converters.export.slim_onnx import slim_onnx
from converters.quantize import onnx_int8
from converters.quantize.float_pair import FloatPair, calibrated, float_tensors
from converters.quantize.layers import chosen_layers
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.precisions import (
    check_precisions,
    integer_operators,
    onnx_precisions,
    optimized,
    tflite_precisions,
)
from converters.quantize.ranges import Held
from converters.quantize.sensitivity import onnx_logits
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quiet import logged
from converters.recipe import ConvNetwork, MlpNetwork, ResNetwork, SeparableNetwork
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import ConversionError

CLASSES = 5
SHAPES = {"mlp": (24,), "audio": (1, 25, 10)}
NETWORKS = {
    "audio": lambda: SeparableNet(
        1, CLASSES, SeparableNetwork(8, (16,), (2,), stem_kernel=(10, 4), stem_stride=(2, 2))
    ),
    "resnet": lambda: ResNet(3, CLASSES, ResNetwork(8, (8, 16), (1, 1))),
    "separable": lambda: SeparableNet(3, CLASSES, SeparableNetwork(8, (8, 16), (2, 1), stem_stride=(2, 2))),
    "conv": lambda: ConvNet(3, CLASSES, ConvNetwork(8, (1, 2))),
    "mlp": lambda: Mlp(24, CLASSES, MlpNetwork((32, 16))),
}


@dataclass(frozen=True)
class Small:
    """A network in both formats, with inputs on which it names every class."""

    pair: FloatPair
    inputs: np.ndarray
    folder: Path

    def onnx(self, **choices: object) -> Path:
        path = self.folder / f"{abs(hash(repr(choices)))}.onnx"
        quiet(self, lambda: quantize_onnx(self.pair.onnx, self.pair.ranges, self.folder, path, **choices))
        return path

    def tflite(self, **choices: object) -> Path:
        path = self.folder / f"{abs(hash(repr(choices)))}.tflite"
        quiet(self, lambda: quantize_tflite(self.pair.tflite, self.pair.tflite_ranges, path, **choices))
        return path

    def tflite_logits(self, path: Path) -> np.ndarray:
        session = engine_named("litert").load(path.read_bytes(), SessionOptions())
        last = self.inputs.transpose(0, 2, 3, 1) if self.inputs.ndim == 4 else self.inputs
        name = session.inputs[0].name
        rows = [session.run({name: np.ascontiguousarray(row[None])}) for row in last]
        return np.concatenate([next(iter(row.values())) for row in rows])

    def onnx_logits(self, path: Path) -> np.ndarray:
        return onnx_logits(path, Held(self.inputs))


def quiet(small: Small, do) -> None:
    with logged(small.folder / "log"):
        do()


def spread(module: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Centre the logits, so that a network that learned nothing names every class."""
    with torch.no_grad():
        given = module(inputs)
        module.classifier.weight /= given.std(0, keepdim=True).T
        module.classifier.bias.copy_(module.classifier.bias / given.std(0) - given.mean(0) / given.std(0))
    return module


@pytest.fixture(scope="module", params=NETWORKS)
def small(request, tmp_path_factory) -> Small:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    network = NETWORKS[request.param]()
    shape = SHAPES.get(request.param, (3, 12, 12))
    inputs = torch.randn(300, *shape)
    network.train()(inputs)  # statistics for the batch norms
    module = spread(folded(network), inputs)
    with logged(folder / "log"):
        export_onnx(module, shape, folder / "fp32.onnx")
        if request.param == "mlp":
            import litert_torch

            litert_torch.convert(module, (torch.zeros(1, *shape),)).export(str(folder / "fp32.tflite"))
        else:
            export_tflite(module, shape, folder / "fp32.tflite")
        items = Held(inputs[:100].numpy())
        pair = calibrated(folder / "fp32.onnx", folder / "fp32.tflite", items, "min-max", 99.99)
    return Small(pair, inputs.numpy(), folder)


def test_both_formats_give_the_same_bits_in_all_integer_types(small):
    wanted = small.tflite_logits(small.tflite())
    assert set(wanted.argmax(1)) == set(range(CLASSES))
    for types in ("U8S8", "U8U8", "S8S8"):
        path = small.onnx(types=types)
        given = small.onnx_logits(path)
        floats = [
            name
            for name, found in onnx_precisions(path, small.pair.layers, small.folder).items()
            if found == "float"
        ]
        assert (given.argmax(1) == wanted.argmax(1)).mean() >= 0.999
        if not floats:
            assert (given == wanted).all(), types
    real = small.onnx_logits(small.pair.onnx)
    assert (wanted.argmax(1) == real.argmax(1)).mean() > 0.9


def test_u8s8_and_tflite_run_every_layer_in_int8(small):
    names = {layer.name for layer in small.pair.layers}
    assert "classifier" in names
    for found in (
        onnx_precisions(small.onnx(), small.pair.layers, small.folder),
        tflite_precisions(small.tflite(), small.pair.layers),
    ):
        assert found == dict.fromkeys(names, "int8")


def test_the_float_files_are_seen_as_float(small):
    for found in (
        onnx_precisions(small.pair.onnx, small.pair.layers, small.folder),
        tflite_precisions(small.pair.tflite, small.pair.layers),
    ):
        assert set(found.values()) == {"float"}


def test_per_tensor_weights_have_one_scale_in_both_formats(small):
    path, other = small.onnx(per_channel=False), small.tflite(per_channel=False)
    scales = {
        each.name: each.dims for each in onnx.load(path).graph.initializer if "weight_scale" in each.name
    }
    assert scales
    assert all(not dims or list(dims) == [1] for dims in scales.values())
    assert (small.onnx_logits(path) == small.tflite_logits(other)).all()
    assert (small.onnx_logits(path) != small.onnx_logits(small.onnx())).any()


def mixed(small: Small, names: list[str]) -> tuple[Path, Path]:
    chosen = chosen_layers(small.pair.layers, names)
    path = small.onnx(float_nodes=[layer.node for layer in chosen])
    tensors = float_tensors(small.pair, chosen, small.onnx(), path)
    return path, small.tflite(float_tensors=sorted(tensors))


def test_each_layer_can_be_kept_in_float_and_really_runs_so(small):
    for layer in small.pair.layers:
        path, other = mixed(small, [layer.name])
        for found in (
            onnx_precisions(path, small.pair.layers, small.folder),
            tflite_precisions(other, small.pair.layers),
        ):
            check_precisions(path.name, found, [layer.name])
            assert list(found.values()).count("float") == 1
        shipped = small.folder / "slim.onnx"
        shipped.write_bytes(slim_onnx(path.read_bytes()))
        assert len(integer_operators(shipped, small.folder)) == len(small.pair.layers) - 1
        one, two = small.onnx_logits(path), small.tflite_logits(other)
        assert (one.argmax(1) == two.argmax(1)).mean() >= 0.995, layer.name


def test_all_layers_in_float_give_the_float_answers(small):
    names = [layer.name for layer in small.pair.layers]
    path, other = mixed(small, names)
    wanted = small.onnx_logits(small.pair.onnx)
    assert np.abs(small.onnx_logits(path) - wanted).max() < 0.1 * np.abs(wanted).max()
    assert set(tflite_precisions(other, small.pair.layers).values()) == {"float"}


def test_without_a_barrier_a_layer_kept_in_float_is_silently_quantized_again(small, monkeypatch):
    """What `nodes_to_exclude` alone does: the file says float, the engine computes int8."""
    layer = small.pair.layers[1]
    monkeypatch.setattr(onnx_int8, "_add_barriers", lambda *_: [])
    path = small.onnx(float_nodes=(layer.node,))
    stored = {each.name: each.data_type for each in onnx.load(path).graph.initializer}
    assert stored[layer.weight] == onnx.TensorProto.FLOAT
    found = onnx_precisions(path, small.pair.layers, small.folder)
    assert found[layer.name] == "int8"
    with pytest.raises(ConversionError, match=rf"layer {layer.name} of .* expected float, found int8"):
        check_precisions(path.name, found, [layer.name])


def test_the_optimized_graph_holds_no_float_weighted_operator(small):
    operators = {node.op_type for node in optimized(small.onnx(), small.folder).graph.node}
    assert operators & {"QLinearConv", "QGemm"}
    assert not operators & {"Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul"}


def test_layers_that_are_not_there_are_named(small):
    with pytest.raises(ConversionError, match=r"unknown layer 'nothing': expected .*classifier"):
        chosen_layers(small.pair.layers, ["nothing"])
