"""Training for int8 ends in int8: both files compute what was trained, bit for bit where it can be said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.quant_utils import compute_scale_zp
from sklearn.datasets import load_digits
from torch import nn

from converters.distill.folding import folded
from converters.distill.mlp import Mlp
from converters.distill.resnet import ResNet
from converters.export.float_models import export_onnx, export_tflite
from converters.quantize.fake import ActivationQuantizer, QuantizedLayer, on_grid, weight_scale
from converters.quantize.float_pair import FloatPair, calibrated
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.precisions import onnx_precisions, tflite_precisions
from converters.quantize.qat import QatNetwork
from converters.quantize.ranges import Held
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quantize.trained import load_learned, write_learned
from converters.quiet import logged
from converters.recipe import MlpNetwork, ResNetwork
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import ConversionError

SHAPE = (1, 8, 8)


def normed(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside))


class Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.depthwise, self.pointwise = normed(inside, inside, 3, stride, inside), normed(inside, outside, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, x):
        y = self.pointwise(torch.relu(self.depthwise(x)))
        return torch.relu(y + x if self.residual else y)


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks = [Block(16, 16, 1), Block(16, 24, 2), Block(24, 24, 1)]
        self.features = nn.Sequential(normed(1, 16, 3), nn.ReLU(), *blocks)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


@dataclass(frozen=True)
class Digits:
    inputs: torch.Tensor
    labels: torch.Tensor

    def accuracy(self, logits: np.ndarray) -> float:
        return float((logits.argmax(1) == self.labels.numpy()).mean())


def digits() -> tuple[Digits, Digits]:
    pixels, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy((pixels.reshape(-1, *SHAPE) / 16 - 0.5).astype(np.float32))
    order = np.random.default_rng(0).permutation(len(labels))
    inputs, labels = inputs[order], torch.from_numpy(labels[order])
    return Digits(inputs[:1200], labels[:1200]), Digits(inputs[1200:], labels[1200:])


def trained(network: nn.Module, data: Digits, epochs: int, rate: float) -> None:
    steps = len(data.labels) // 64
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(epoch))
        for chosen in order.split(64)[:steps]:
            loss = F.cross_entropy(network(data.inputs[chosen]), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()


def unbalanced(network: nn.Module, factor: float) -> None:
    """Plant a hard case: the same function, with two loud channels behind each depthwise convolution.

    A ReLU lets a positive factor through, so that the next layer can take it back. One scale for all
    channels then leaves the quiet ones few steps.
    """
    inner = dict(network.named_modules())
    for at in (2, 3, 4):
        loud, next_ = (inner[f"features.{at}.{name}.0"] for name in ("depthwise", "pointwise"))
        with torch.no_grad():
            loud.weight[:2] *= factor
            loud.bias[:2] *= factor
            next_.weight[:, :2] /= factor


@dataclass(frozen=True)
class Int8:
    """One network as int8 files, and what they answer for the test digits."""

    pair: FloatPair
    folder: Path
    onnx: np.ndarray
    tflite: np.ndarray


def int8(pair: FloatPair, folder: Path, inputs: torch.Tensor) -> Int8:
    with logged(folder / "log"):
        quantize_onnx(pair.onnx, pair.ranges, folder, folder / "int8.onnx")
        quantize_tflite(pair.tflite, pair.tflite_ranges, folder / "int8.tflite")
    rows = inputs.numpy()
    return Int8(
        pair,
        folder,
        answers(folder / "int8.onnx", "onnxruntime", rows),
        answers(folder / "int8.tflite", "litert", rows.transpose(0, 2, 3, 1) if rows.ndim == 4 else rows),
    )


def answers(path: Path, engine: str, rows: np.ndarray) -> np.ndarray:
    session = engine_named(engine).load(path.read_bytes(), SessionOptions())
    (input_,), (output,) = session.inputs, session.outputs
    given = [session.run({input_.name: np.ascontiguousarray(row[None])})[output.name] for row in rows]
    session.close()
    return np.concatenate(given)


@dataclass(frozen=True)
class Case:
    network: QatNetwork
    ptq: Int8
    qat: Int8
    test: Digits
    float_accuracy: float


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of one order, and no threads that wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    """The planted hard case, quantized as it is and after training for int8."""
    folder: Path = tmp_path_factory.mktemp("qat")
    for name in ("ptq", "qat"):
        (folder / name).mkdir()
    training, test = digits()
    torch.manual_seed(0)
    network = Depthwise()
    trained(network, training, 12, 0.01)
    hard = folded(network)
    unbalanced(hard, 100)
    with torch.no_grad():
        accuracy = test.accuracy(hard(test.inputs).numpy())
    items = Held(training.inputs[:200].numpy())
    with logged(folder / "log"):
        export_onnx(hard, SHAPE, folder / "ptq/float.onnx")
        export_tflite(hard, SHAPE, folder / "ptq/float.tflite")
        plain = calibrated(folder / "ptq/float.onnx", folder / "ptq/float.tflite", items, "min-max", 100)
    qat = QatNetwork(hard, training.inputs[:2], observe_steps=30)
    trained(qat, training, 8, 0.002)
    qat.settle()
    with logged(folder / "log"):
        write_learned(qat, training.inputs[:4], folder / "qat")
        learned = load_learned(folder / "qat")
        assert learned is not None
        pair = learned.pair(items)
    return Case(
        qat,
        int8(plain, folder / "ptq", test.inputs),
        int8(pair, folder / "qat", test.inputs),
        test,
        accuracy,
    )


def test_both_files_compute_what_was_trained(case):
    """LiteRT with XNNPACK and ONNX Runtime U8S8; in doubles, so that the simulation itself rounds nowhere else."""
    with torch.no_grad():
        simulated = copy.deepcopy(case.network).double()(case.test.inputs.double()).numpy()
    np.testing.assert_array_equal(case.qat.onnx, case.qat.tflite)
    low, high = case.network.ranges()["classifier"]
    steps = np.abs(case.qat.onnx - simulated) / ((high - low) / 255)
    assert steps.max() < 1.01
    assert (steps < 0.5).mean() > 0.99
    np.testing.assert_array_equal(case.qat.onnx.argmax(1), simulated.argmax(1))


@pytest.mark.parametrize(
    ("build", "shape", "last"),
    [
        (lambda: ResNet(3, 10, ResNetwork()), (3, 16, 16), "classifier"),
        (lambda: Mlp(20, 4, MlpNetwork((32, 16))), (20,), "classifier"),
    ],
    ids=["resnet", "mlp"],
)
def test_networks_of_the_catalogue_end_in_what_was_trained(tmp_path, build, shape, last):
    """Barely trained: what is tested is that every grid of the network is the one of both files."""
    torch.manual_seed(0)
    network, inputs = build(), torch.randn(64, *shape)
    for _ in range(20):
        network(inputs)
    qat = QatNetwork(network, inputs[:2], observe_steps=3)
    optimizer = torch.optim.AdamW(qat.parameters(), 1e-3)
    for _ in range(6):
        optimizer.zero_grad()
        qat(inputs).square().mean().backward()
        optimizer.step()
    qat.eval()
    qat.settle()
    with logged(tmp_path / "log"):
        write_learned(qat, inputs[:4], tmp_path)
        learned = load_learned(tmp_path)
        assert learned is not None
        pair = learned.pair(Held(inputs[:20].numpy()))
    files = int8(pair, tmp_path, inputs)
    np.testing.assert_array_equal(files.onnx, files.tflite)
    with torch.no_grad():
        simulated = copy.deepcopy(qat).double()(inputs.double()).numpy()
    low, high = qat.ranges()[last]
    steps = np.abs(files.onnx - simulated) / ((high - low) / 255)
    assert steps.max() < 1.01
    assert (steps < 0.5).mean() > 0.99


def test_every_layer_runs_in_int8(case):
    layers = case.qat.pair.layers
    assert len(layers) == 8
    for found in (
        onnx_precisions(case.qat.folder / "int8.onnx", layers, case.qat.folder),
        tflite_precisions(case.qat.folder / "int8.tflite", layers),
    ):
        assert dict(found) == {layer.name: "int8" for layer in layers}


def test_training_for_int8_regains_what_quantizing_alone_loses(case):
    lost, left = (case.test.accuracy(each.onnx) for each in (case.ptq, case.qat))
    assert case.float_accuracy > 0.95
    assert lost < case.float_accuracy - 0.08
    assert left > lost + 0.05


def test_every_learned_range_reaches_the_files_and_holds_zero(case):
    grids, given = case.network.ranges(), case.qat.pair.ranges
    assert set(grids.values()) == {given[name] for name in given}
    assert all(low <= 0 <= high and low < high for low, high in grids.values())


def test_the_float_network_carries_the_trained_weights(case):
    weights = dict(case.network.folded().named_parameters())
    assert sorted(weights) == sorted(dict(folded(Depthwise()).named_parameters()))
    own = dict(case.network.named_parameters())
    assert all((own[f"network.{name.rpartition('.')[0]}.layer.{name.rpartition('.')[2]}"] == value).all()
               for name, value in weights.items())  # fmt: skip


def test_its_state_is_all_in_the_state_dict(case):
    torch.manual_seed(1)
    other = QatNetwork(folded(Depthwise()), case.test.inputs[:2], observe_steps=30)
    other.load_state_dict(case.network.state_dict())
    other.eval()
    with torch.no_grad():
        assert torch.equal(other(case.test.inputs), case.network(case.test.inputs))
    assert other.ranges() == case.network.ranges()


def test_ranges_follow_the_data_first_and_are_learned_then():
    torch.manual_seed(0)
    network = QatNetwork(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.zeros(2, 4), 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    learning = []
    for _ in range(4):
        optimizer.zero_grad()
        network(torch.randn(16, 4)).square().sum().backward()
        learning.append([each.grad is not None for each in scales(network)])
    assert learning == [[False] * 3, [False] * 3, [True] * 3, [True] * 3]


def scales(network: nn.Module) -> list[nn.Parameter]:
    return [each.log_scale for each in network.modules() if isinstance(each, ActivationQuantizer)]


def test_values_that_only_move_keep_their_grid():
    class Moving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.classifier = nn.Conv2d(1, 4, 3), nn.Linear(4 * 9, 2)

        def forward(self, x):
            x = F.max_pool2d(torch.relu(self.convolution(x)), 2)
            return self.classifier(torch.flatten(x, 1))

    network = QatNetwork(Moving(), torch.zeros(2, *SHAPE), 1)
    assert set(network.grids.values()) == {"x", "relu", "classifier"}
    assert network.grids["max_pool2d"] == network.grids["flatten"] == network.grids["convolution"] == "relu"


def test_a_network_that_cannot_be_traced_or_has_no_layer_is_refused():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else self.layer(-x)

    with pytest.raises(ConversionError, match="cannot be traced"):
        QatNetwork(Branching(), torch.zeros(2, 4), 1)
    with pytest.raises(ConversionError, match="no layer to train for int8"):
        QatNetwork(nn.Sequential(nn.ReLU()), torch.zeros(2, 4), 1)


finite = st.floats(-50, 50, allow_nan=False, width=32)


@settings(max_examples=100)
@given(st.lists(finite, min_size=1, max_size=20))
def test_a_grid_is_the_one_that_onnx_runtime_makes_of_its_range(values):
    quantizer = ActivationQuantizer().train()
    quantizer(torch.tensor([values]))
    quantizer.settle()
    low, high = (np.array(each, np.float32) for each in quantizer.range())
    zero_point, scale = compute_scale_zp(low, high, np.array(0), np.array(255))
    assert float(quantizer.scale) == np.float32(scale)
    assert int(quantizer.zero_point) == zero_point


@settings(max_examples=100)
@given(
    st.lists(finite, min_size=1, max_size=20), st.floats(1 / 64, 1, width=32), st.integers(0, 255).map(float)
)
def test_the_grid_keeps_zero_and_what_lies_on_it(values, scale, zero_point):
    x, step, zero = torch.tensor(values), torch.tensor(scale), torch.tensor(zero_point)
    once = on_grid(x, step, zero)
    torch.testing.assert_close(on_grid(once, step, zero), once, rtol=0, atol=0)
    assert on_grid(torch.zeros(1), step, zero) == 0
    inside = (x / step >= -zero) & (x / step <= 255 - zero)
    assert ((x - once).abs()[inside] <= scale / 2 * 1.001).all()


def test_the_gradient_of_the_scale_is_that_of_equation_3():
    """Esser et al. 2020, eq. 3: round(v/s) - v/s inside the grid, its bound outside."""
    values = torch.tensor([-9.0, -0.33, 0.0, 0.41, 1.7, 300.0], requires_grad=True)
    scale, zero_point = torch.tensor(0.5, requires_grad=True), torch.tensor(4.0)
    for at, value in enumerate(values.tolist()):
        (given_,) = torch.autograd.grad(on_grid(values, scale, zero_point)[at], scale)
        ratio = value / 0.5
        expected = -4 if ratio < -4 else 251 if ratio > 251 else round(ratio) - ratio
        assert float(given_) == pytest.approx(expected, abs=1e-5)
    (passed,) = torch.autograd.grad(on_grid(values, scale, zero_point).sum(), values)
    assert passed.tolist() == [0, 1, 1, 1, 1, 0]


def test_weights_lie_on_127_steps_a_channel_and_biases_on_the_sums():
    torch.manual_seed(0)
    given_ = ActivationQuantizer().train()
    x = given_(torch.rand(4, 3, 5, 5))
    layer = nn.Conv2d(3, 6, 3)
    got = QuantizedLayer(layer, given_)(x)
    scale = weight_scale(layer)
    integers = torch.round(layer.weight / scale)
    assert integers.abs().amax((1, 2, 3)).tolist() == [127] * 6
    grid = scale.flatten() * given_.scale
    bias = torch.round(layer.bias / grid) * grid
    torch.testing.assert_close(got, F.conv2d(x, integers * scale, bias))
