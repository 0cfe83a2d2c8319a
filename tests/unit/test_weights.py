"""Variants with smaller weights: what they hold, how near they answer, and where they are refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper
from torch import nn

from converters import load_recipe
from converters.export.float_models import export_onnx, export_tflite
from converters.export.slim import slim
from converters.quantize.further import write_further
from converters.quantize.weights import half_onnx
from converters.quiet import logged
from converters.recipe import MlpNetwork, Qat, check_recipe
from converters.recipe.quantization_rules import check_quantize
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import ConversionError, RecipeError

ROOT = Path(__file__).parents[2]
ALL = ("int8", "fp16", "dynamic", "weight-only")


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU()
        )
        self.classifier = nn.Linear(16, 10)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Linear(nn.Module):
    """Linear layers alone, with so many weights that the TFLite quantizer puts them behind the flatbuffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 4300), nn.ReLU(), nn.Linear(4300, 10))

    def forward(self, x):
        return self.layers(x)


def exported(network: nn.Module, shape: tuple[int, ...], folder: Path) -> None:
    with logged(folder / "log"):
        export_onnx(network, shape, folder / "fp32.onnx")
        export_tflite(network, shape, folder / "fp32.tflite")


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("linear")
    torch.manual_seed(0)
    exported(Linear().eval(), (64,), folder)
    return folder


@pytest.fixture(scope="module")
def depthwise(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("depthwise")
    torch.manual_seed(0)
    exported(Depthwise().eval(), (3, 8, 8), folder)
    return folder


def answers(path: Path, rows: np.ndarray) -> np.ndarray:
    engine = "onnxruntime" if path.suffix == ".onnx" else "litert"
    session = engine_named(engine).load(path.read_bytes(), SessionOptions())
    (input_,), (output,) = session.inputs, session.outputs
    if path.suffix == ".tflite" and rows.ndim == 4:
        rows = np.ascontiguousarray(rows.transpose(0, 2, 3, 1))
    given = [session.run({input_.name: row[None]})[output.name] for row in rows]
    session.close()
    return np.concatenate(given)


def written(folder: Path, *variants: str):
    with logged(folder / "log"):
        return write_further(variants, folder / "fp32.onnx", folder / "fp32.tflite", folder)


# How far an answer may be from the float one, as a share of the largest; and the file's size as a share.
NEAR = {"fp16": (1e-3, 0.6), "dynamic": (0.03, 0.5), "weight-only": (0.02, 0.5)}


@pytest.mark.parametrize("variant", sorted(NEAR))
def test_linear_layers_answer_nearly_the_same_from_fewer_bytes(linear, variant):
    rows = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    near, share = NEAR[variant]
    artifacts = written(linear, variant)
    assert {each.format for each in artifacts} == {"onnx", "tflite"}
    for artifact in artifacts:
        path = linear / artifact.file
        float_path = linear / f"fp32{path.suffix}"
        want = answers(float_path, rows)
        difference = np.abs(answers(path, rows) - want).max() / np.abs(want).max()
        assert 0 < difference < near, artifact.id
        assert path.stat().st_size < share * float_path.stat().st_size, artifact.id
        assert not path.stat().st_mode & 0o111


@pytest.mark.parametrize("variant", ["fp16", "weight-only"])
def test_both_formats_store_the_same_weights(linear, variant):
    """Arithmetic is float in both, so that only its order may differ."""
    rows = np.random.default_rng(1).normal(size=(20, 64)).astype(np.float32)
    one, other = (answers(linear / each.file, rows) for each in written(linear, variant))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", sorted(NEAR))
def test_weights_behind_the_flatbuffer_are_taken_into_it(linear, variant):
    for artifact in written(linear, variant):
        content = (linear / artifact.file).read_bytes()
        smaller = slim(artifact, content)
        assert 0.9 * len(content) < len(smaller) < len(content)
        if artifact.format == "tflite":
            before, after = (schema.ModelT.InitFromPackedBuf(each, 0) for each in (content, smaller))
            assert any(buffer.offset > 1 for buffer in before.buffers)
            assert not any(buffer.offset for buffer in after.buffers)


def test_convolutions_may_be_fp16(depthwise):
    rows = np.random.default_rng(0).normal(size=(10, 3, 8, 8)).astype(np.float32)
    want = answers(depthwise / "fp32.onnx", rows)
    for artifact in written(depthwise, "fp16"):
        given = answers(depthwise / artifact.file, rows)
        assert 0 < np.abs(given - want).max() < 1e-3 * np.abs(want).max()
    stored = Counter(each.data_type for each in onnx.load(depthwise / "fp16.onnx").graph.initializer)
    assert stored[onnx.TensorProto.FLOAT16] == 3


@pytest.mark.parametrize("variant", ["dynamic", "weight-only"])
def test_convolutions_are_refused_with_the_reason(depthwise, variant):
    with pytest.raises(ConversionError, match=r"found 2 convolutions, 1 linear.*fp16 suit convolutions"):
        written(depthwise, variant)
    assert not (depthwise / f"int8-{variant}.onnx").exists()


def test_a_recipe_that_asks_for_it_is_refused_before_anything_runs():
    recipe = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    asked = replace(recipe, quantize=replace(recipe.quantize, variants=ALL))
    with pytest.raises(RecipeError, match="dynamic and weight-only for a network with convolutions"):
        check_recipe(asked)
    check_quantize(asked.quantize, replace(recipe.student, network=MlpNetwork((32,))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ("int8", "int8")}, "each once"),
        ({"variants": ("fp16",), "qat": Qat(1)}, "int8 among"),
        ({"qat": Qat(0)}, "qat.epochs"),
        ({"qat": Qat(1, batch_size=1)}, "qat.batch_size"),
        ({"qat": Qat(1, learning_rate=2)}, "qat.learning_rate"),
        ({"qat": Qat(1, observe=1)}, "qat.observe"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    recipe = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    with pytest.raises(RecipeError, match=message):
        check_recipe(replace(recipe, quantize=replace(recipe.quantize, **change)))


def test_a_weight_beyond_float16_is_refused(linear, tmp_path):
    model = onnx.load(linear / "fp32.onnx")
    weight = next(each for each in model.graph.initializer if len(each.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e6), weight.name))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(ConversionError, match="does not fit float16"):
        half_onnx(tmp_path / "large.onnx", tmp_path / "fp16.onnx")
