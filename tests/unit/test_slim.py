"""Slimmer model files answer the same bits, in both engines, for the kinds of network that ship."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from converters.export import slim as slimming
from converters.export.artifacts import Artifact
from converters.export.float_models import export_onnx, export_tflite
from converters.export.slim import slim
from converters.export.slim_onnx import slim_onnx
from converters.export.slim_tflite import SharingBuilder, slim_tflite
from converters.quantize.float_pair import calibrated
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.ranges import Held
from converters.quantize.tflite_int8 import quantize_tflite
from converters.quiet import logged
from edgeinfer.errors import ConversionError

SHAPE = (3, 8, 8)
ENGINES = {"onnx": "onnxruntime", "tflite": "litert"}
# Least share of bytes saved. Small networks hold few weights beside their names; the float ones of
# any size keep all but names and notes.
SAVED = {("onnx", "fp32"): 0.02, ("tflite", "fp32"): 0.12, ("onnx", "int8"): 0.35, ("tflite", "int8"): 0.3}


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
        )
        self.classifier = nn.Linear(16, 10)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.one, self.two = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.classifier = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.two(torch.relu(self.one(x))))
        return self.classifier(x.mean((2, 3)))


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU()]
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(16, 10)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


@dataclass(frozen=True)
class Model:
    artifact: Artifact
    content: bytes


@pytest.fixture(scope="module", params=[Plain, Residual, Depthwise], ids=lambda kind: kind.__name__.lower())
def models(request, tmp_path_factory) -> dict[tuple[str, str], Model]:
    """The four model files of a network, by format and precision."""
    folder: Path = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    network = request.param().eval()
    rows = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    with logged(folder / "log"):
        export_onnx(network, SHAPE, folder / "fp32.onnx")
        export_tflite(network, SHAPE, folder / "fp32.tflite")
        pair = calibrated(folder / "fp32.onnx", folder / "fp32.tflite", Held(rows), "min-max", 100)
        quantize_onnx(pair.onnx, pair.ranges, folder, folder / "int8.onnx")
        quantize_tflite(pair.tflite, pair.tflite_ranges, folder / "int8.tflite")
    return {
        (format_, precision): Model(
            Artifact(f"{format_}-{precision}", f"{precision}.{format_}", format_, precision, engine),
            (folder / f"{precision}.{format_}").read_bytes(),
        )
        for format_, engine in ENGINES.items()
        for precision in ("fp32", "int8")
    }


def test_files_are_smaller_by_the_stated_share_and_answer_the_same_bits(models):
    for key, model in models.items():
        smaller = slim(model.artifact, model.content)
        assert 1 - len(smaller) / len(model.content) >= SAVED[key], key
        before, after = (slimming._answers(model.artifact.engine, each) for each in (model.content, smaller))
        assert before.keys() == after.keys()
        for name, bits in before.items():
            np.testing.assert_array_equal(bits, after[name])
            assert bits.any()


def test_slimming_twice_is_slimming_once_and_gives_the_same_bytes_each_time(models):
    for (format_, _), model in models.items():
        slimmer = {"onnx": slim_onnx, "tflite": slim_tflite}[format_]
        once = slimmer(model.content)
        assert slimmer(model.content) == once
        assert slimmer(once) == once


def test_onnx_runtime_makes_the_same_graph_of_it(models, tmp_path):
    for precision in ("fp32", "int8"):
        content = models["onnx", precision].content
        kinds = [operators(each, tmp_path / "optimized.onnx") for each in (content, slim_onnx(content))]
        assert kinds[0] == kinds[1]
        assert precision == "fp32" or kinds[0]["QLinearConv"] > 1
        onnx.checker.check_model(onnx.load_from_string(slim_onnx(content)), full_check=True)


def operators(content: bytes, path: Path) -> Counter[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_names_of_inputs_and_outputs_and_signatures_stay(models):
    for precision in ("fp32", "int8"):
        content = models["tflite", precision].content
        before, after = (schema.ModelT.InitFromPackedBuf(each, 0) for each in (content, slim_tflite(content)))
        ends = [[*each.subgraphs[0].inputs, *each.subgraphs[0].outputs] for each in (before, after)]
        names = [
            [each.subgraphs[0].tensors[at].name for at in end]
            for each, end in zip((before, after), ends, strict=True)
        ]
        assert names[0] == names[1]
        assert all(names[0])
        assert sum(tensor.name is not None for tensor in after.subgraphs[0].tensors) == len(names[0])
        assert [each.signatureKey for each in after.signatureDefs] == [b"serving_default"]
        graphs = [onnx.load_from_string(each).graph for each in (models["onnx", precision].content,)]
        assert [each.name for each in (*graphs[0].input, *graphs[0].output)] == ["input", "logits"]


def test_tflite_weights_lie_where_kernels_may_read_them(models):
    for precision in ("fp32", "int8"):
        content = slim_tflite(models["tflite", precision].content)
        model = schema.Model.GetRootAs(content, 0)
        filled = [model.Buffers(at) for at in range(model.BuffersLength()) if model.Buffers(at).DataLength()]
        assert len(filled) > 4
        assert all(each._tab.Vector(each._tab.Offset(4)) % 16 == 0 for each in filled)


def test_a_file_that_answers_otherwise_is_refused(models, monkeypatch):
    model = models["onnx", "fp32"]
    changed = onnx.load_from_string(model.content)
    weight = next(each for each in changed.graph.initializer if len(each.dims) == 4)
    weight.raw_data = bytes(len(weight.raw_data))
    monkeypatch.setitem(slimming._SLIMMERS, "onnx", lambda _: changed.SerializeToString())
    with pytest.raises(ConversionError, match=r"fp32\.onnx answers otherwise"):
        slim(model.artifact, model.content)


def test_graphs_within_graphs_keep_their_names():
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["outer"], ["inner"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, [1])],
    )
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["x", "x"], ["outer"]),
            onnx.helper.make_node("If", ["which"], ["y"], then_branch=inner, else_branch=inner),
        ],
        "whole",
        [
            onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1]),
            onnx.helper.make_tensor_value_info("which", onnx.TensorProto.BOOL, []),
        ],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(slim_onnx(model.SerializeToString()))
    assert session.run(None, {"x": np.float32([2]), "which": np.array(True)})[0] == [4]


numbers = st.lists(st.integers(0, 3), max_size=4)
tensors = st.lists(st.tuples(numbers, st.sampled_from(["", "a", "b"]), st.none() | numbers), max_size=6)


@settings(max_examples=50)
@given(tensors)
def test_sharing_is_not_seen_by_a_reader(drawn):
    """Whatever equal parts a file has, it reads as the one in which each is written again."""
    graph = schema.SubGraphT()
    graph.tensors = []
    for shape, name, zeros in drawn:
        tensor = schema.TensorT()
        tensor.shape, tensor.name = np.int32(shape), name.encode()
        if zeros is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.zeroPoint, tensor.quantization.scale = np.int64(zeros), np.float32(zeros)
        graph.tensors.append(tensor)
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    plain, sharing = flatbuffers.Builder(16), SharingBuilder(16)
    for builder in (plain, sharing):
        builder.Finish(model.Pack(builder), b"TFL3")
    assert len(sharing.Output()) <= len(plain.Output()) + 16
    read = [schema.ModelT.InitFromPackedBuf(bytes(each.Output()), 0) for each in (plain, sharing)]
    assert repr_of(read[0]) == repr_of(read[1])


def repr_of(part: object) -> object:
    if hasattr(part, "__dict__"):
        return {name: repr_of(value) for name, value in vars(part).items()}
    if isinstance(part, list):
        return [repr_of(each) for each in part]
    return part.tolist() if isinstance(part, np.ndarray) else part
