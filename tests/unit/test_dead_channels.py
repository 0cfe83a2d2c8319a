"""Channels of zero or nearly zero weights, which give their bias alone: both int8 formats keep it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from converters.distill.folding import folded
from converters.distill.resnet import ResNet
from converters.distill.separable import SeparableNet
from converters.export.float_models import export_onnx, export_tflite
from converters.quantize.float_pair import FloatPair, calibrated
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.ranges import Held
from converters.quantize.sensitivity import onnx_logits
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quantize.weight_scales import LEAST, magnitudes, widened
from converters.quiet import logged
from converters.recipe import ResNetwork, SeparableNetwork
from edgeinfer.engines import SessionOptions, engine_named

SHAPE, CLASSES = (3, 12, 12), 5
NETWORKS = {
    "resnet": lambda: ResNet(3, CLASSES, ResNetwork(8, (8, 16), (1, 1))),
    "separable": lambda: SeparableNet(3, CLASSES, SeparableNetwork(8, (8, 16), (2, 1), stem_stride=(2, 2))),
}


@dataclass(frozen=True)
class Weakened:
    pair: FloatPair
    inputs: np.ndarray
    folder: Path

    def onnx(self, **choices: object) -> np.ndarray:
        path = self.folder / "int8.onnx"
        with logged(self.folder / "log"):
            quantize_onnx(self.pair.onnx, self.pair.ranges, self.folder, path, **choices)
        return onnx_logits(path, Held(self.inputs))

    def tflite(self, **choices: object) -> np.ndarray:
        path = self.folder / "int8.tflite"
        with logged(self.folder / "log"):
            quantize_tflite(self.pair.tflite, self.pair.tflite_ranges, path, **choices)
        session = engine_named("litert").load(path.read_bytes(), SessionOptions())
        rows = [
            session.run({session.inputs[0].name: np.ascontiguousarray(each.transpose(1, 2, 0)[None])})
            for each in self.inputs
        ]
        return np.concatenate([next(iter(row.values())) for row in rows])

    def real(self) -> np.ndarray:
        return onnx_logits(self.pair.onnx, Held(self.inputs))


def layers(module: nn.Module) -> list[nn.Module]:
    return [each for each in module.modules() if isinstance(each, nn.Conv2d | nn.Linear)]


def weaken(module: nn.Module) -> None:
    """Leave three channels of every layer but the last with a bias that counts, and hardly any weights."""
    with torch.no_grad():
        for layer in layers(module)[:-1]:
            layer.weight[0] = 0
            layer.weight[1] *= 1e-9
            layer.weight[2] *= 1e-30
            layer.bias[:3] = torch.tensor([0.31, 0.23, 0.17])


def made(module: nn.Module, folder: Path, inputs: torch.Tensor) -> Weakened:
    with torch.no_grad():
        given = module(inputs)
        last = layers(module)[-1]
        last.weight /= given.std(0, keepdim=True).T
        last.bias.copy_((last.bias - given.mean(0)) / given.std(0))
    with logged(folder / "log"):
        export_onnx(module, SHAPE, folder / "fp32.onnx")
        export_tflite(module, SHAPE, folder / "fp32.tflite")
        items = Held(inputs[:100].numpy())
        pair = calibrated(folder / "fp32.onnx", folder / "fp32.tflite", items, "min-max", 99.99)
    return Weakened(pair, inputs.numpy(), folder)


@pytest.fixture(scope="module", params=NETWORKS)
def weakened(request, tmp_path_factory) -> Weakened:
    torch.manual_seed(0)
    network, inputs = NETWORKS[request.param](), torch.randn(300, *SHAPE)
    network.train()(inputs)  # statistics for the batch norms
    module = folded(network)
    weaken(module)
    return made(module, tmp_path_factory.mktemp(request.param), inputs)


@pytest.mark.parametrize("types", ["U8S8", "U8U8", "S8S8"])
def test_both_formats_give_the_same_bits(weakened, types):
    one, other = weakened.onnx(types=types), weakened.tflite()
    assert set(weakened.real().argmax(1)) == set(range(CLASSES))
    assert (one.argmax(1) == other.argmax(1)).mean() >= 0.999
    assert (one == other).all()


def test_they_name_the_classes_that_the_float_file_does(weakened):
    wanted = weakened.real()
    for given in (weakened.onnx(), weakened.tflite()):
        assert (given.argmax(1) == wanted.argmax(1)).mean() > 0.85
        assert np.abs(given - wanted).max() < wanted.std()


def test_one_scale_per_tensor_holds_the_bias_too(weakened):
    assert (weakened.onnx(per_channel=False) == weakened.tflite(per_channel=False)).all()


class Sums(nn.Module):
    """A convolution over the whole picture, of three channels without weights, behind one that may be dead."""

    def __init__(self, *, dead: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, CLASSES, SHAPE[1])
        with torch.no_grad():
            if dead:
                self.first.weight.zero_()
                self.first.bias.fill_(-0.5)
            self.second.weight[1:4] *= torch.tensor([0.0, 1e-9, 1e-30]).reshape(3, 1, 1, 1)
            self.second.bias[1:4] = torch.tensor([0.5, -0.37, 1.1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))).flatten(1)


@pytest.mark.parametrize("dead", [False, True])
def test_a_channel_without_weights_gives_its_bias(dead, tmp_path):
    torch.manual_seed(0)
    module, inputs = Sums(dead=dead).eval(), torch.randn(40, *SHAPE)
    with logged(tmp_path / "log"):
        export_onnx(module, SHAPE, tmp_path / "fp32.onnx")
        export_tflite(module, SHAPE, tmp_path / "fp32.tflite")
        pair = calibrated(
            tmp_path / "fp32.onnx", tmp_path / "fp32.tflite", Held(inputs.numpy()), "min-max", 99.99
        )
    net = Weakened(pair, inputs.numpy(), tmp_path)
    one, other = net.onnx(), net.tflite()
    assert (one == other).all()
    lows, highs = zip(*pair.ranges.values(), strict=True)
    step = (max(highs) - min(lows)) / 255
    for given in (one, other):
        assert np.abs(given - net.real()).max() <= step
        assert given[:, 1:4] == pytest.approx(np.tile([[0.5, -0.37, 1.1]], (len(given), 1)), abs=step)


def test_scales_are_those_of_the_largest_weight_where_the_bias_fits():
    weight = np.array([[0.5, -1.27], [1e-9, 0], [0, 0], [0, 1e-30]], np.float32)
    bias = np.array([3.0, 2.0, -2.0, 0.0], np.float32)
    given = magnitudes(weight, 0, bias, (0.0, 2.55)) / 127
    assert given[0] == np.float32(1.27) / 127
    assert np.abs(bias / (given * 0.01))[1:3] == pytest.approx([2**30] * 2)
    assert given[3] == pytest.approx(1e-9 / 127)
    assert magnitudes(weight, 0, None, (0.0, 2.55)) == pytest.approx([1.27, 1e-9, 1e-9, 1e-9])
    assert magnitudes(weight, 0, bias, (0.0, 2.55), per_channel=False) == pytest.approx([1.27])
    assert magnitudes(weight.T, 1, bias, (0.0, 2.55)) == pytest.approx(given * 127)
    two_groups = np.concatenate([bias, bias[::-1]])
    wider = magnitudes(np.zeros_like(weight), 0, two_groups, (0.0, 2.55)) / 127
    assert np.array([3.0, 2.0, 2.0, 3.0]) / (wider * 0.01) == pytest.approx([2**30] * 4)


def test_only_ranges_of_no_width_are_widened():
    ranges = {"dead": (0.0, 0.0), "hardly": (-1e-12, 0.0), "alive": (-1.0, 2.0), "constant": (3.0, 3.0)}
    found = widened(ranges)
    assert {name for name in ranges if found[name] != ranges[name]} == {"dead", "hardly"}
    assert found["dead"] == found["hardly"]
    assert np.float32(found["dead"][1]) > LEAST


def test_a_bias_midway_between_two_integers_is_the_same_in_both_formats(tmp_path):
    """Each quantizer computes the grid of the sums in its own order, a last bit apart: of 4,000 ties some part."""
    torch.manual_seed(0)
    channels = 4000
    module = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Flatten(), nn.Linear(channels * 4, CLASSES)).eval()
    inputs = torch.randn(40, 3, 2, 2)
    low, high = min(0.0, float(inputs.min())), max(0.0, float(inputs.max()))
    with torch.no_grad():
        grid = (high - low) / 255 * module[0].weight.abs().amax((1, 2, 3)) / 127
        module[0].bias.copy_((torch.arange(channels) % 1000 + 0.5) * grid)
    with logged(tmp_path / "log"):
        export_onnx(module, (3, 2, 2), tmp_path / "fp32.onnx")
        export_tflite(module, (3, 2, 2), tmp_path / "fp32.tflite")
        items = Held(inputs.numpy())
        pair = calibrated(tmp_path / "fp32.onnx", tmp_path / "fp32.tflite", items, "min-max", 99.99)
        quantize_onnx(pair.onnx, pair.ranges, tmp_path, tmp_path / "int8.onnx")
        quantize_tflite(pair.tflite, pair.tflite_ranges, tmp_path / "int8.tflite")
    stored = [
        onnx.numpy_helper.to_array(each) for each in onnx.load(tmp_path / "int8.onnx").graph.initializer
    ]
    (one,) = [each for each in stored if each.dtype == np.int32 and each.size == channels and each.any()]
    interpreter = Interpreter(model_path=str(tmp_path / "int8.tflite"))
    (place,) = [
        each["index"]
        for each in interpreter.get_tensor_details()
        if each["dtype"] == np.int32 and tuple(each["shape"]) == (channels,)
    ]
    interpreter.allocate_tensors()
    assert np.array_equal(one, interpreter.get_tensor(place))
