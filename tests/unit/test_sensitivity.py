"""Which layers to keep in float, and which integer types to ship: the decisions, and one real search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import load_recipe
from converters.export.artifacts import Artifact, load_artifacts, static_pairs, write_artifacts
from converters.quantize.integer_types import TypeFigures, fastest
from converters.quantize.layers import Layer
from converters.quantize.ranges import Held, collect_ranges
from converters.quantize.sensitivity import Kept, OnnxTrial, divergence, explore
from converters.quiet import logged
from converters.recipe import Quantize, check_recipe
from converters.verify.answers import Answers
from converters.verify.figures import int8_agreements
from edgeinfer.errors import ConversionError, RecipeError

ROOT = Path(__file__).parents[2]
# Points that each layer loses, and bytes that keeping it in float costs.
LOSSES = {"stem": (2, 300), "middle": (0, 6000), "depthwise": (5, 400), "classifier": (1, 900)}


def measured(names: tuple[str, ...]) -> Kept:
    lost = sum(points for name, (points, _) in LOSSES.items() if name not in names)
    size = 10_000 + sum(LOSSES[name][1] for name in names)
    return Kept(names, 0.9 - lost / 100, 1 - lost / 100, lost / 1000, size)


def test_layers_are_ranked_by_what_each_brings_back():
    found = explore(measured, list(LOSSES), 500, 0.9, None)
    assert [kept.layers for kept in found.alone] == [("depthwise",), ("stem",), ("classifier",), ("middle",)]
    assert [len(kept.layers) for kept in found.together] == [1, 2, 3]
    assert found.chosen == ()
    assert found.drop(found.whole) == pytest.approx(0.08)
    assert found.advice() == (
        "keep these 3 layers in fp32 and regain 8.0 of 8.0 points for 1.6 kB: depthwise, stem, classifier"
    )


@pytest.mark.parametrize(
    ("most", "chosen"),
    [
        (0.08, ()),
        (0.05, ("depthwise",)),
        (0.03, ("depthwise",)),
        (0.029, ("depthwise", "stem")),
        (0.0, ("depthwise", "stem", "classifier")),
        (-1.0, ("depthwise", "stem", "classifier")),
    ],
)
def test_auto_keeps_as_few_as_the_limit_needs(most, chosen):
    assert explore(measured, list(LOSSES), 500, 0.9, most).chosen == chosen


def test_without_labels_agreement_with_the_float_file_counts():
    def unlabelled(names):
        return replace(measured(names), accuracy=None)

    found = explore(unlabelled, list(LOSSES), 500, None, 0.03)
    assert found.drop(found.whole) == pytest.approx(0.08)
    assert found.chosen == ("depthwise",)


def test_a_search_goes_on_beyond_the_table_until_the_limit_is_kept():
    names = [f"layer{at}" for at in range(8)]

    def each_loses_a_point(kept):
        lost = 8 - len(kept)
        return Kept(kept, round(0.9 - lost / 100, 6), 1.0, lost + 0.001 * int((kept or "9")[-1][-1]), 1)

    found = explore(each_loses_a_point, names, 10, 0.9, 0.015)
    assert len(found.chosen) == 7
    assert len(explore(each_loses_a_point, names, 10, 0.9, 0.5).together) == 0
    assert len(explore(each_loses_a_point, names, 10, 0.9, None).together) == 4


def test_nothing_lost_is_said_so():
    found = explore(lambda names: Kept(names, 0.9, 1.0, 0.0, 1), ["a", "b"], 200, 0.9, None)
    assert found.advice() == "int8 loses 0.0 points on 200 validation items; no layer regains any"


def test_no_more_is_kept_than_what_was_lost():
    """With two layers in float it is better than the float file, by luck: one layer already regains all."""
    accuracy = {(): 0.88, ("a",): 0.9, ("b",): 0.89, ("a", "b"): 0.91}

    def lucky(names):
        return Kept(names, accuracy[names], 1.0, 1 - accuracy[names], 1000 + 500 * len(names))

    found = explore(lucky, ["b", "a"], 100, 0.9, 0.0)
    assert found.advice() == "keep this layer in fp32 and regain 2.0 of 2.0 points for 0.5 kB: a"
    assert found.chosen == ("a",)


def test_two_layers_that_help_only_together_are_found():
    """The tensor between them is what cannot be quantized; alone each brings back next to nothing."""

    def between(names):
        good = {"depthwise", "pointwise"} <= set(names)
        hint = 0.001 * ("pointwise" in names)
        return Kept(names, 0.7 if good else 0.5, 1.0, (0.0 if good else 0.5) - hint, 1000)

    layers = ["stem", "depthwise", "pointwise", "a", "b", "c", "classifier"]
    assert set(explore(between, layers, 100, 0.7, 0.005).chosen) == {"depthwise", "pointwise"}


def test_divergence_is_kullback_leibler_s():
    one, other = np.array([[0.0, 0.0]], np.float32), np.array([[np.log(3.0), 0.0]], np.float32)
    assert divergence(one, one) == 0
    assert divergence(one, other) == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert divergence(np.array([[1e4, -1e4]], np.float32), np.array([[1e4, -1e4]], np.float32)) == 0


def test_the_layer_that_quantization_hurts_is_found(tmp_path):
    """Two linear layers; one weight of the second, on an input that is always 0, makes all others round to 0."""
    generator = np.random.default_rng(0)
    one, two = generator.normal(size=(16, 16)), generator.normal(size=(4, 16))
    one[0] = -np.abs(one[0])
    two[3, 0] = 3000
    nodes = [
        helper.make_node("Gemm", ["x", "one.weight"], ["h"], "first", transB=1),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "two.weight"], ["logits"], "second", transB=1),
    ]
    constants = {"one.weight": one, "two.weight": two}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    path = tmp_path / "fp32.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    items = Held(np.abs(generator.normal(size=(200, 16))).astype(np.float32))
    layers = [Layer("one", "first", "one.weight", "t"), Layer("two", "second", "two.weight", "u")]
    trial = OnnxTrial(path, collect_ranges(path, items), layers, items, None, per_channel=False)
    with logged(tmp_path / "log"):
        found = explore(lambda names: trial.measure(names, tmp_path), ["one", "two"], 200, None, 0.05)
    assert found.whole.agreement < 0.9
    assert found.alone[0].layers == ("two",)
    assert found.alone[0].agreement > 0.95
    assert found.chosen == ("two",)
    assert found.alone[0].bytes != found.whole.bytes
    assert not list(tmp_path.glob("trial*"))


def choice(types: str, p50_us: float | None, *float_layers: str) -> TypeFigures:
    return TypeFigures(types, 1000, float_layers, p50_us)


@pytest.mark.parametrize(
    ("figures", "ship", "best"),
    [
        ([choice("U8S8", 100.0), choice("S8S8", 50.0), choice("U8U8", 70.0)], 1, ["S8S8"]),
        ([choice("U8S8", 100.0), choice("S8S8", 50.0), choice("U8U8", 70.0)], 2, ["S8S8", "U8U8"]),
        ([choice("U8S8", 100.0), choice("S8S8", 95.0), choice("U8U8", 200.0)], 1, ["U8S8"]),
        ([choice("U8S8", 100.0), choice("S8S8", 10.0, "stem")], 2, ["U8S8"]),
        ([choice("U8U8", None)], 1, ["U8U8"]),
    ],
    ids=["fastest", "two", "a tie goes to the first", "not whole in int8", "one"],
)
def test_the_fastest_types_that_are_whole_in_int8_are_shipped(figures, ship, best):
    assert [each.types for each in fastest(figures, ship)] == best


def test_types_of_which_none_is_whole_in_int8_name_the_layer():
    with pytest.raises(ConversionError, match=r"layer stem does not run in int8 with S8S8.*found float"):
        fastest([choice("S8S8", 10.0, "stem", "other")], 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration_items": 0}, "calibration_items"),
        ({"sensitivity_items": 0}, "sensitivity_items"),
        ({"percentile": 10.0}, "percentile"),
        ({"percentile": 100.5}, "percentile"),
        ({"onnx_types": ()}, "onnx_types"),
        ({"onnx_types": ("U8S8", "U8S8")}, "onnx_types"),
        ({"ship": 0}, "ship"),
        ({"onnx_types": ("U8S8",), "ship": 2}, "ship"),
        ({"float_layers": "all"}, "float_layers"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, message):
    recipe = load_recipe(ROOT / "sample_apps/digits/recipe.toml")
    with pytest.raises(RecipeError, match=rf"recipe\.quantize\.{message}"):
        check_recipe(replace(recipe, quantize=Quantize(**changes)))


@pytest.mark.parametrize(
    ("line", "kept"), [('"auto"', "auto"), ('["a", "b"]', ("a", "b")), ("[]", ()), ("3", None), ("[3]", None)]
)
def test_float_layers_are_auto_or_names(tmp_path, line, kept):
    text = (ROOT / "sample_apps/digits/recipe.toml").read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(f"{text}\n[quantize]\nfloat_layers = {line}\n")
    if kept is None:
        with pytest.raises(RecipeError, match=r"float_layers.*(text or a list|text)"):
            load_recipe(path)
    else:
        assert load_recipe(path).quantize.float_layers == kept


def test_the_list_of_model_files_round_trips_and_pairs_what_must_agree(tmp_path):
    artifacts = (
        Artifact(
            "tflite-mixed", "a", "tflite", "mixed", "litert", "static", None, {"x": "int8", "y": "float"}
        ),
        Artifact("onnx-mixed", "b", "onnx", "mixed", "onnxruntime", "static", "U8S8"),
        Artifact("onnx-qat", "c", "onnx", "int8", "onnxruntime", "qat", "U8U8"),
        Artifact("onnx-fp32", "d", "onnx", "fp32", "onnxruntime"),
    )
    for name in "abcd":
        (tmp_path / name).write_bytes(b"model")
    write_artifacts(tmp_path, artifacts)
    assert load_artifacts(tmp_path) == artifacts
    assert artifacts[0].float_layers == ("y",)
    assert [(one.id, other.id) for one, other in static_pairs(artifacts)] == [("onnx-mixed", "tflite-mixed")]
    named = {each.id: np.array([1, 2, 3, 4]) for each in artifacts} | {"tflite-mixed": np.array([1, 2, 3, 0])}
    logits = {name: np.eye(5, dtype=np.float32)[classes] for name, classes in named.items()}
    answers = Answers(np.zeros(4, np.int64), logits["tflite-mixed"], logits["tflite-mixed"], logits)
    assert [each.share for each in int8_agreements(artifacts, answers)] == [0.75]
    assert int8_agreements(artifacts[2:], answers) == ()
