"""The bars of the main job, on the demo's own recipe."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import edgeinfer as ei
from converters import load_examples
from edgeinfer.bundle import encode

ENGINE_OF = {"tflite": "litert", "onnx": "onnxruntime"}


@pytest.fixture(scope="module")
def manifest(demo):
    with ei.open_bundle(demo.bundle) as bundle:
        assert bundle.verify() > 10
        return bundle.manifest


@pytest.fixture(scope="module")
def report(demo):
    return json.loads(demo.bundle.with_suffix(".report.json").read_text())


def test_it_takes_at_most_3_minutes(demo):
    assert demo.seconds <= 180


def test_the_student_is_at_most_a_twentieth_of_the_teacher(report):
    figures = report["figures"]
    assert figures["teacher_parameters"] >= 20 * figures["student_parameters"]


def test_int8_loses_at_most_half_a_point_and_fits_20_000_bytes(manifest, report):
    student = report["figures"]["student_accuracy"]["value"]
    for variant in manifest.variants:
        if variant.precision == "int8":
            assert student - variant.accuracy.value <= 0.005
            assert variant.blob.size <= 20_000


def test_both_fp32_files_name_what_pytorch_names_on_the_whole_test_split(report):
    fp32 = [each for each in report["figures"]["variants"] if each["precision"] == "fp32"]
    assert [each["parity"] for each in fp32] == [1.0, 1.0]
    assert max(each["largest_difference"] for each in fp32) < 1e-4


def test_what_the_bundle_states_is_what_both_engines_do(demo, manifest):
    test = load_examples(demo.folder / "build/demo/work", "test")
    for variant in manifest.variants:
        model = ei.load(demo.bundle, variant=variant.id, engine=ENGINE_OF[variant.format])
        named = [int(answer.label) for answer in model.predict_many(test.items)]
        assert variant.accuracy.n == len(named)
        assert np.mean(named == test.labels) == pytest.approx(variant.accuracy.value)
        assert variant.accuracy.low < variant.accuracy.value < variant.accuracy.high


def test_no_training_picture_is_in_the_bundle(demo, manifest):
    train = load_examples(demo.folder / "build/demo/work", "train").items
    seen = {picture.tobytes() for picture in train}
    assert len(seen) > 900
    with ei.open_bundle(demo.bundle) as bundle:
        stored = np.frombuffer(bundle.read(manifest.golden.inputs["input"].blob), "<f4").reshape(-1, 8, 8, 1)
    pixels = np.rint((stored * 0.5 + 0.5) * 255).astype(np.uint8)
    assert not seen & {picture.tobytes() for picture in pixels}
    with ei.open_bundle(demo.bundle) as bundle:
        content = [bundle.read(blob) for blob in manifest.blobs().values()]
    assert not [picture for picture in seen if any(picture in each for each in content)]
    assert manifest.golden.origin.startswith("synthetic")


def test_confidence_was_calibrated_on_validation(manifest):
    assert manifest.calibration.split == "validation"
    assert manifest.calibration.n == manifest.lineage.splits["validation"]
    assert manifest.calibration.nll_after <= manifest.calibration.nll_before


def test_lineage_names_everything_that_made_it(manifest):
    lineage = manifest.lineage
    assert sum(lineage.splits.values()) == 1797
    assert {"torch", "onnxruntime", "ai-edge-litert", "numpy", "edgeinfer"} <= set(lineage.tools)
    assert len(lineage.teacher_sha256) == len(lineage.data_sha256) == len(lineage.recipe_sha256) == 64


def test_the_report_travels_with_the_bundle_and_lies_beside_it(demo, manifest):
    with ei.open_bundle(demo.bundle) as bundle:
        for name, suffix in (("report.md", ".report.md"), ("report.json", ".report.json")):
            beside = demo.bundle.with_suffix(suffix).read_bytes()
            assert bundle.read(manifest.documents[name].blob) == beside
        travelling = bundle.read(manifest.documents["report.html"].blob).decode()
    page = demo.bundle.with_suffix(".report.html").read_text()
    assert "data:image/png" not in travelling
    assert re.sub(r'<img src="data:[^>]+>', "", page) == travelling
    text = demo.bundle.with_suffix(".report.md").read_text()
    for variant in manifest.variants:
        assert f"| {variant.id} |" in text


def test_it_shows_a_table_one_answer_and_what_to_type_next(demo, manifest):
    for variant in manifest.variants:
        row = next(line for line in demo.printed.splitlines() if line.startswith(variant.id))
        assert f"{variant.blob.size:,}" in row
        assert f"{variant.accuracy.value:.1%}" in row
    assert "It is a 7:" in demo.printed
    assert "edgeinfer predict build/demo/digits.eib" in demo.printed


def test_the_onnx_files_hold_the_arithmetic_they_are_named_for(demo, manifest):
    """The int8 file: int8 weights, and every activation quantized; the fp32 file: none of it."""
    import onnx

    with ei.open_bundle(demo.bundle) as bundle:
        kinds = {}
        for variant in manifest.variants:
            if variant.format == "onnx":
                graph = onnx.load_model_from_string(bundle.read(variant.blob)).graph
                kinds[variant.precision] = [node.op_type for node in graph.node]
                if variant.precision == "int8":
                    weights = [each.data_type for each in graph.initializer if len(each.dims) > 1]
                    assert weights == [onnx.TensorProto.INT8] * 4
    assert "QuantizeLinear" not in kinds["fp32"]
    assert kinds["int8"].count("QuantizeLinear") == 6


def test_the_manifest_is_small_enough_to_read(manifest):
    """Nearly half of it is what a device compares itself with: drift reference, classes and cascade."""
    assert len(json.dumps(encode(manifest))) < 18_000
