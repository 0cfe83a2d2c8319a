"""Per-layer figures of both formats: against torch by hand, and with one layer made bad on purpose."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from converters.export.float_models import export_onnx, export_tflite
from converters.quantize.float_pair import FloatPair, calibrated
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.ranges import Held
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quantize.weights import dynamic_onnx
from converters.quiet import logged
from converters.verify.layers import Layers, compare_layers
from converters.verify.matching import match, trace
from converters.verify.onnx_pair import OnnxPair
from converters.verify.skeleton import Graph, Operation, paired
from converters.verify.tally import Tally, decibels, own_snr
from converters.verify.tflite_pair import TflitePair

SHAPE = (3, 8, 8)
FORMATS = ("onnx", "tflite")


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(self.relu(self.first(x))) + x)


class Net(nn.Module):
    """Every kind of layer that students have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.block = Block(8)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.block(self.stem(x)).mean((2, 3)))


NAMES = ("input", "stem.0", "block.first", "block.second", "block.add", "mean", "classifier")


@dataclass(frozen=True)
class Made:
    """A network, its float files and what quantizing them needs."""

    module: nn.Module
    folder: Path
    items: np.ndarray
    pair: FloatPair

    def float_tensors(self) -> dict[str, np.ndarray]:
        """The float ONNX file's tensors for the probe."""
        return OnnxPair(self.pair.onnx, self.pair.onnx).reference(self.items[:4])

    def quantized(self, folder: Path, *, bad: str | None = None) -> dict[str, OnnxPair | TflitePair]:
        """Both formats from the measured ranges, that of one layer's value made a hundred times too wide."""
        pair = self.pair
        if bad is not None:
            layer = match(trace(self.module, self.items[:4]), self.float_tensors())[bad]
            low, high = pair.ranges[layer]
            ranges = {**pair.ranges, layer: (low * 100, high * 100)}
            with logged(folder / "log"):
                pair = pair.with_ranges(ranges, Held(self.items))
        with logged(folder / "log"):
            quantize_onnx(pair.onnx, pair.ranges, folder, folder / "int8.onnx")
            quantize_tflite(pair.tflite, pair.tflite_ranges, folder / "int8.tflite")
        return {
            "onnx": OnnxPair(pair.onnx, folder / "int8.onnx"),
            "tflite": TflitePair(pair.tflite, folder / "int8.tflite"),
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("layers")
    torch.manual_seed(0)
    module = Net().eval()
    items = np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32)
    with logged(folder / "log"):
        export_onnx(module, SHAPE, folder / "fp32.onnx")
        export_tflite(module, SHAPE, folder / "fp32.tflite")
        pair = calibrated(folder / "fp32.onnx", folder / "fp32.tflite", Held(items), "min-max", 99.99)
    return Made(module, folder, items, pair)


@pytest.fixture(scope="module")
def good(made, tmp_path_factory) -> dict[str, OnnxPair | TflitePair]:
    return made.quantized(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def layers(made, good) -> Layers:
    return compare_layers(made.module, good, made.items, dict.fromkeys(FORMATS, 0))


def test_layers_are_named_by_the_student_s_modules_in_both_formats(layers):
    assert tuple(row.name for row in layers.layers) == NAMES
    assert all(set(row.variants) == set(FORMATS) for row in layers.layers)
    kinds = {row.name: row.kinds for row in layers.layers}
    assert kinds["stem.0"] == ("Conv2d", "ReLU")
    assert kinds["block.second"] == ("Conv2d",)
    assert kinds["block.add"] == ("add", "relu")


def test_float_ranges_are_those_that_torch_computes(made, layers):
    seen = {}
    hooked = {"stem.0": made.module.stem[1], "block.first": made.module.block.relu, "block.second": None}
    hooked |= {"block.second": made.module.block.second, "block.add": made.module.block}
    hooked |= {"classifier": made.module.classifier}
    for name, module in hooked.items():
        module.register_forward_hook(lambda _, __, given, name=name: seen.__setitem__(name, given))
    with torch.no_grad():
        made.module(torch.from_numpy(made.items))
    for row in layers.layers:
        for figures in row.variants.values():
            if row.name in seen:
                assert figures.low == pytest.approx(float(seen[row.name].min()), abs=1e-5)
                assert figures.high == pytest.approx(float(seen[row.name].max()), rel=1e-5)


def test_figures_of_a_layer_are_those_computed_in_torch_from_the_file_s_scales(made, layers, tmp_path):
    """Stem: input, weights and bias dequantized from the ONNX file, convolved in torch, rounded to its scale."""
    made.quantized(tmp_path)
    model = onnx.load(tmp_path / "int8.onnx")
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    image = made.pair.onnx
    first = onnx.load(image).graph
    source, weight = first.input[0].name, first.node[0].input[1]
    after = next(node.output[0] for node in first.node if node.op_type == "Relu")

    def rounded(values: np.ndarray, name: str) -> np.ndarray:
        scale, zero = stored[f"{name}_scale"], int(stored[f"{name}_zero_point"])
        return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero).astype(np.float32) * scale

    scales = stored[f"{weight}_scale"].reshape(-1, 1, 1, 1)
    weights = stored[f"{weight}_quantized"].astype(np.float32) * scales
    x = torch.from_numpy(rounded(made.items, source))
    module = made.module.stem[0]
    with torch.no_grad():
        given = torch.conv2d(x, torch.from_numpy(weights), module.bias, padding=1).relu().numpy()
        wanted = made.module.stem(torch.from_numpy(made.items)).numpy()
    given = rounded(given, after)
    noise = float(((given - wanted) ** 2).sum() / (wanted**2).sum())
    cosine = float((given * wanted).sum() / np.sqrt((given**2).sum() * (wanted**2).sum()))
    row = next(row for row in layers.layers if row.name == "stem.0")
    for figures in row.variants.values():
        assert figures.snr_db == pytest.approx(-10 * math.log10(noise), abs=0.05)
        assert figures.cosine == pytest.approx(cosine, abs=1e-5)
        assert figures.largest_error == pytest.approx(float(np.abs(given - wanted).max()), rel=0.1)


def test_both_formats_lose_the_same(layers):
    for row in layers.layers:
        one, other = (row.variants[each] for each in FORMATS)
        assert one.snr_db == pytest.approx(other.snr_db, abs=0.1), row.name


def test_bytes_of_a_layer_are_those_of_its_weights_biases_and_scales(layers):
    stored = {row.name: row.variants["onnx"].bytes for row in layers.layers}
    weights, biases, scales, zeros = 8 * 3 * 9, 8 * 4, 8 * 4, 8
    # A bias has scales and int32 zero points of its own.
    assert stored["stem.0"] == weights + scales + zeros + biases + scales + 8 * 4
    assert stored["block.add"] < 50


@pytest.mark.parametrize("bad", ["stem.0", "block.first", "block.second", "block.add", "mean"])
def test_a_layer_with_a_wrong_scale_is_the_worst_in_both_formats(made, tmp_path, bad):
    pairs = made.quantized(tmp_path, bad=bad)
    found = compare_layers(made.module, pairs, made.items, dict.fromkeys(FORMATS, 0))
    for each in FORMATS:
        assert found.worst(each).name == bad
        fallen = {row.name: row.variants[each].snr_db for row in found.layers}
        assert fallen[bad] < 15
        before = NAMES[: NAMES.index(bad)]
        assert min(fallen[name] for name in before) > 30, "what comes before is not blamed"


def test_renamed_and_reordered_files_give_the_same_figures(made, layers, tmp_path):
    """As slimmed files are: names shortened, everything else kept."""
    made.quantized(tmp_path)
    model = onnx.load(tmp_path / "int8.onnx")
    short: dict[str, str] = {}
    kept = {each.name for each in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = name if name in kept or not name else short.setdefault(name, f"t{len(short)}")
        node.name = ""
    for each in model.graph.initializer:
        each.name = short[each.name]
    model.graph.ClearField("value_info")
    onnx.save(model, tmp_path / "short.onnx")
    renamed = {"onnx": OnnxPair(made.pair.onnx, tmp_path / "short.onnx")}
    found = compare_layers(made.module, renamed, made.items, {"onnx": 0})
    assert [row.variants["onnx"] for row in found.layers] == [row.variants["onnx"] for row in layers.layers]


def test_a_file_of_other_weights_is_told_by_the_student_s_structure(made, tmp_path):
    """As after training for int8: the float file behind the int8 file is not the student's."""
    other = copy.deepcopy(made.module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    with logged(tmp_path / "log"):
        export_onnx(other, SHAPE, tmp_path / "learned.onnx")
        ranges = {name: (low * 2, high * 2) for name, (low, high) in made.pair.ranges.items()}
        quantize_onnx(tmp_path / "learned.onnx", ranges, tmp_path, tmp_path / "int8.onnx")
    pairs = {"onnx": OnnxPair(tmp_path / "learned.onnx", tmp_path / "int8.onnx")}
    named = {"onnx": OnnxPair(made.pair.onnx, tmp_path / "learned.onnx")}
    found = compare_layers(made.module, pairs, made.items, {"onnx": 0}, named)
    assert tuple(row.name for row in found.layers) == NAMES
    assert min(row.variants["onnx"].snr_db for row in found.layers) > 20
    with torch.no_grad():
        logits = other(torch.from_numpy(made.items))
    assert found.layers[-1].variants["onnx"].high == pytest.approx(float(logits.max()), rel=1e-4)


def test_asking_for_layers_does_not_change_the_answer(made, tmp_path):
    import onnxruntime

    pairs = made.quantized(tmp_path)
    plain = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"), providers=["CPUExecutionProvider"]).run(
        None, {"input": made.items}
    )[0]
    seen = list(pairs["onnx"].observe(made.items))
    assert np.array_equal(seen[-1].given, plain)


@given(st.lists(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8), min_size=1, max_size=5))
def test_batches_may_be_cut_anywhere(parts):
    whole, cut = Tally(), Tally()
    values = np.concatenate([np.array(part, np.float32) for part in parts])
    whole.add(values, np.round(values))
    for part in parts:
        own = np.array(part, np.float32)
        cut.add(own, np.round(own))
    one, other = whole.compared(), cut.compared()
    assert one.noise == pytest.approx(other.noise, rel=1e-9, abs=1e-12)
    assert one.cosine == pytest.approx(other.cosine, abs=1e-9)
    assert (one.largest_error, one.low, one.high) == (other.largest_error, other.low, other.high)
    assert -1 <= one.cosine <= 1


def test_decibels_of_ratios_that_are_none():
    assert decibels(0.0) is None
    assert decibels(0.01) == pytest.approx(20)
    assert decibels(1e30) == -100
    silent = Tally()
    silent.add(np.zeros(3), np.ones(3))
    assert (silent.compared().snr_db, silent.compared().cosine) == (-100, 0)
    assert own_snr(0.02, 0.01) == pytest.approx(20)
    assert own_snr(0.01, 0.02) is None


def graph(*operations: tuple[str, str, str]) -> Graph:
    made = tuple(Operation(kind, tuple(inputs.split()), (output,)) for kind, inputs, output in operations)
    return Graph(
        made, (made[-1].outputs[0],), frozenset({"Q", "DQ"}), frozenset({"Relu"}), frozenset({"Pad"})
    )


def test_branches_are_paired_by_where_they_lead_not_by_their_order_in_the_file():
    one = graph(("Conv", "x w1", "a"), ("Conv", "x w2", "b"), ("Sub", "a b", "y"))
    other = graph(("Conv", "x v2", "n"), ("Conv", "x v1", "m"), ("Sub", "m n", "z"))
    found = {(left.inputs[1], right.inputs[1]) for left, right in paired(one, other) if left.kind == "Conv"}
    assert found == {("w1", "v1"), ("w2", "v2")}


def test_quantizing_operations_are_looked_through():
    plain = graph(("Conv", "x w", "a"), ("Relu", "a", "b"), ("Gemm", "b v", "y"))
    quantized = graph(
        ("Q", "x s", "qx"),
        ("DQ", "qx s", "dx"),
        ("DQ", "qw sw", "dw"),
        ("Conv", "dx dw", "a"),
        ("Q", "a s", "qa"),
        ("DQ", "qa s", "da"),
        ("Gemm", "da v", "y"),
    )
    pairs = paired(plain, quantized)
    assert [(one.kind, other.kind) for one, other in pairs] == [("Conv", "Conv"), ("Gemm", "Gemm")]
    assert plain.settled(pairs[0][0]) == "b"
    assert list(quantized.constants(pairs[0][1])) == ["qw", "sw"]


def test_files_of_which_no_operation_is_in_both_are_compared_by_nothing(tmp_path):
    module, items = nn.Linear(6, 3).eval(), np.zeros((8, 6), np.float32)
    with logged(tmp_path / "log"):
        export_onnx(module, (6,), tmp_path / "fp32.onnx")
    dynamic_onnx(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx")
    pair = OnnxPair(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx")
    assert list(pair.reference(items)) == ["input"]
    compared = compare_layers(module, {"onnx-dynamic": pair}, items, {"onnx-dynamic": 1})
    assert not any(row.variants for row in compared.layers)
