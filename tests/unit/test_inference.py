from __future__ import annotations

import io
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from PIL import Image

import edgeinfer as ei
from edgeinfer.bundle import Binding, BlobSet, Quantization, TensorBlob, write_bundle
from edgeinfer.engines import TensorInfo
from edgeinfer.testing import SAMPLE_LABELS, FakeEngine, sample_manifest

LIGHT, DARK = np.full((6, 6), 255, np.uint8), np.zeros((6, 6), np.uint8)
TENSOR = np.ones((1, 1, 4, 4), np.float32)


def rewritten(tmp_path, change):
    """The sample bundle with a changed manifest."""
    blobs = BlobSet()
    write_bundle(tmp_path / "changed.eib", change(sample_manifest(blobs)), blobs)
    return tmp_path / "changed.eib"


def with_variants(tmp_path, **fields):
    return rewritten(
        tmp_path,
        lambda whole: replace(whole, variants=tuple(replace(each, **fields) for each in whole.variants)),
    )


def test_a_prediction_says_what_it_is_and_where_it_came_from(sample):
    model = ei.load(sample, engine=FakeEngine())
    prediction = model.predict(LIGHT)
    assert (prediction.label, prediction.source, prediction.variant) == ("light", "device", "fake-int8")
    assert prediction.engine == "fake-engine 1.0"
    assert prediction.bundle == model.digest
    assert prediction.confidence == pytest.approx(1 / (1 + np.exp(-4)))
    assert [each.label for each in prediction.top] == ["light", "dark"]
    assert sum(each.confidence for each in prediction.top) == pytest.approx(1)
    assert prediction.outputs["logits"].shape == (1, 2)
    parts = prediction.timings
    assert prediction.latency_ms == pytest.approx(parts.preprocess_ms + parts.run_ms + parts.postprocess_ms)
    with pytest.raises(FrozenInstanceError):
        prediction.label = "dark"


def test_predict_takes_a_path_bytes_an_image_pixels_tensors_and_a_dict(sample, tmp_path):
    model = ei.load(sample, engine=FakeEngine())
    Image.fromarray(DARK).save(tmp_path / "dark.png")
    data = (tmp_path / "dark.png").read_bytes()
    sources = (
        tmp_path / "dark.png",
        str(tmp_path / "dark.png"),
        data,
        Image.open(io.BytesIO(data)),
        DARK,
        -TENSOR,
        -TENSOR[0],
        {"image": -TENSOR},
    )
    assert [model.predict(source).label for source in sources] == ["dark"] * len(sources)


def test_predict_many_streams(sample):
    model = ei.load(sample, engine=FakeEngine())
    asked = []

    def pictures():
        for at in range(1_000_000):
            asked.append(at)
            yield LIGHT if at % 2 else DARK

    answers = model.predict_many(pictures())
    assert [next(answers).label for _ in range(3)] == ["dark", "light", "dark"]
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "the input names: expected ['image'], found []"),
        ({"picture": TENSOR}, "found ['picture']"),
        ({"image": TENSOR.astype(np.float64)}, "input image: expected float32, found float64"),
        (
            {"image": TENSOR[:, :, :3]},
            "the shape of input image: expected (batch, 1, 4, 4), found (1, 1, 3, 4)",
        ),
        ({"image": TENSOR[0]}, "found (1, 4, 4)"),
        ({"image": TENSOR[:0]}, "found (0, 1, 4, 4)"),
        (
            {"image": np.where(np.arange(16).reshape(1, 1, 4, 4) == 3, np.nan, TENSOR)},
            "found 1 of 16 are NaN",
        ),
        ({"image": TENSOR * np.float32(np.inf)}, "found 16 of 16 are NaN or infinite"),
        ({"image": [[1.0]]}, "found list"),
    ],
)
def test_wrong_arrays_are_refused(sample, inputs, message):
    model = ei.load(sample, engine=FakeEngine())
    inputs = {
        name: value.astype(np.float32) if "NaN" in message and "1 of" in message else value
        for name, value in inputs.items()
    }
    for call in (model.run, model.predict):
        with pytest.raises(ei.InputError) as caught:
            call(inputs)
        assert message in str(caught.value)


def test_run_takes_any_batch_and_predict_one_item(sample):
    model = ei.load(sample, engine=FakeEngine())
    batch = np.repeat(TENSOR, 5, axis=0)
    assert model.run({"image": batch})["logits"].shape == (5, 2)
    with pytest.raises(ei.InputError, match="a batch of 5; hand it to run"):
        model.predict(batch)


def test_variants_are_tried_in_the_manifest_s_order(sample):
    model = ei.load(sample, engine=FakeEngine())
    assert model.selection.chosen.variant == "fake-int8"
    assert [each.variant for each in model.selection.candidates] == ["fake-int8", "fake-fp32"]
    engine = FakeEngine()
    assert ei.load(sample, engine=engine, precision="fp32").selection.chosen.variant == "fake-fp32"
    assert engine.loaded == [b"a fp32 model"]
    asked = ei.load(sample, engine=FakeEngine(), variant="fake-fp32")
    assert asked.predict(LIGHT).variant == "fake-fp32"
    assert "asked for (variant fake-fp32) that runs here" in asked.selection.reason
    assert "not tried" in model.selection.candidates[1].rejected
    assert repr(model) == "<Model sample 1: fake-int8 on fake-engine 1.0>"


@pytest.mark.parametrize("wish", [{"variant": "fake-int4"}, {"precision": "fp16"}])
def test_a_wish_that_nothing_meets_names_what_there_is(sample, wish):
    with pytest.raises(ei.NoVariantError, match="expected f"):
        ei.load(sample, engine=FakeEngine(), **wish)


def test_a_runtime_that_is_too_old_is_named_with_the_way_out(tmp_path):
    path = with_variants(tmp_path, requires={"fake-engine": "1.20"})
    with pytest.raises(ei.NoVariantError) as caught:
        ei.load(path, engine=FakeEngine(version="1.17.3"))
    assert "needs fake-engine >= 1.20, found 1.17.3: pip install -U fake-engine" in str(caught.value)
    assert "ship a variant below opset 17" in str(caught.value)
    assert ei.load(path, engine=FakeEngine(version="1.20.0rc1")).selection.chosen


def test_a_package_that_the_variant_was_not_made_for_is_refused(sample):
    with pytest.raises(ei.NoVariantError, match="was not made for other-engine, but for fake-engine"):
        ei.load(sample, engine=FakeEngine(package="other-engine"))


def test_an_engine_that_is_not_installed_is_the_error_when_it_was_asked_for(sample):
    missing = ei.EngineUnavailable("engine fake is not usable", next_step="pip install it")
    with pytest.raises(ei.EngineUnavailable, match="pip install it"):
        ei.load(sample, engine=FakeEngine(fails_on_info=missing))
    with pytest.raises(ei.EngineUnavailable, match="unknown engine"):
        ei.load(sample, engine="tpu")


def test_a_bundle_for_which_nothing_is_installed_lists_why(sample):
    with pytest.raises(ei.NoVariantError, match=r"fake-int8 on onnxruntime: .*not made for onnxruntime"):
        ei.load(sample)


def test_a_variant_that_the_engine_refuses_is_passed_over(sample):
    refusal = ei.ModelLoadError("cannot load the model")
    with pytest.raises(
        ei.NoVariantError, match=r"fake-int8 on fake: cannot load.*fake-fp32 on fake: cannot load"
    ):
        ei.load(sample, engine=FakeEngine(fails_on_load=refusal))


def test_wrong_golden_outputs_refuse_a_variant(sample):
    broken = FakeEngine(answer=lambda image: np.zeros((len(image), 2), np.float32))
    with pytest.raises(ei.NoVariantError, match="differs from the golden output in"):
        ei.load(sample, engine=broken)
    assert ei.load(sample, engine=broken, self_test=False).predict(LIGHT).confidence == 0.5


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_an_engine_that_answers_nan_fails_the_self_test(sample, answer):
    broken = FakeEngine(answer=lambda image: np.full((len(image), 2), answer, np.float32))
    with pytest.raises(ei.NoVariantError, match="differs from the golden output"):
        ei.load(sample, engine=broken)


def test_preprocessing_that_gives_other_values_here_is_noticed(tmp_path):
    def change(whole):
        steps = whole.inputs[0].preprocess
        from edgeinfer.bundle import Normalize, steps_digest

        wrong = tuple(Normalize((0.4,), (0.5,)) if isinstance(step, Normalize) else step for step in steps)
        return replace(
            whole, inputs=(replace(whole.inputs[0], preprocess=wrong, preprocess_digest=steps_digest(wrong)),)
        )

    with pytest.raises(ei.SelfTestError, match="preprocessing of golden image 0 differs"):
        ei.load(rewritten(tmp_path, change), engine=FakeEngine())


def test_an_engine_that_fails_while_running_raises(sample):
    engine = FakeEngine()
    model = ei.load(sample, engine=engine)
    engine.fails_on_run = ei.EngineRunError("engine failed")
    with pytest.raises(ei.EngineRunError, match="engine failed"):
        model.predict(LIGHT)


def test_a_binding_that_the_file_does_not_have_is_refused(tmp_path):
    path = with_variants(tmp_path, inputs={"image": Binding("pixels", "float32", ("batch", 1, 4, 4))})
    with pytest.raises(ei.NoVariantError, match="does not hold the tensor that image is bound to"):
        ei.load(path, engine=FakeEngine())


class LastAxisInt8(FakeEngine):
    """Takes one quantized picture at a time, channels last, and gives quantized logits."""

    def load(self, model, options):
        session = super().load(model, options)
        session.inputs = (TensorInfo("image", "int8", (1, 4, 4, 1)),)
        session.outputs = (TensorInfo("logits", "int8", (1, 2)),)
        session.run = self._run
        return session

    def _run(self, inputs):
        image = inputs["image"]
        assert (image.dtype, image.shape, image.flags.c_contiguous) == (np.int8, (1, 4, 4, 1), True)
        mean = image.astype(np.float32).mean() / 127
        return {"logits": np.rint(np.array([[mean, -mean]]) * 64).astype(np.int8)}


def test_a_variant_of_another_layout_type_and_batch_gives_the_same_answers(tmp_path):
    path = with_variants(
        tmp_path,
        inputs={"image": Binding("image", "int8", (1, 4, 4, 1), (0, 2, 3, 1), Quantization(1 / 127, 0))},
        outputs={"logits": Binding("logits", "int8", (1, 2), None, Quantization(1 / 64, 0))},
        tolerances={},
    )
    model = ei.load(path, engine=LastAxisInt8(), self_test=False)
    batch = np.concatenate([TENSOR, -TENSOR, TENSOR])
    np.testing.assert_allclose(model.run({"image": batch})["logits"][:, 0], [1, -1, 1], atol=1 / 64)
    assert model.predict(DARK).label == "dark"


def test_labels_are_the_manifest_s(sample):
    assert ei.load(sample, engine=FakeEngine()).labels == SAMPLE_LABELS


def test_wishes_that_exclude_each_other_say_so(sample):
    with pytest.raises(ei.NoVariantError, match="what was asked for excludes all: ask for less"):
        ei.load(sample, engine=FakeEngine(), variant="fake-fp32", precision="int8")


@pytest.mark.parametrize("sources", ["seven.png", b"png", {"image": TENSOR}, None, 5])
def test_predict_many_takes_several_items_only(sample, sources):
    with pytest.raises(ei.InputError, match="predict_many takes several items"):
        ei.load(sample, engine=FakeEngine()).predict_many(sources)


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": 10**6},
        {"threads": "2"},
        {"threads": 1.5},
        {"engine": 5},
        {"engine": ["litert"]},
    ],
)
def test_options_of_a_wrong_kind_are_refused(sample, options):
    with pytest.raises(ei.InputError):
        ei.load(sample, **{"engine": FakeEngine(), **options})


@pytest.mark.parametrize("path", [None, 5, b"x.eib", []])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ei.BundleError, match="opened by its path"):
        ei.load(path)


@pytest.mark.parametrize(
    "inputs", [None, 5, TENSOR, "x.png", {1: TENSOR, "image": TENSOR}, {None: 1, "x": 2}]
)
def test_run_takes_a_dict_of_the_right_names_only(sample, inputs):
    with pytest.raises(ei.InputError):
        ei.load(sample, engine=FakeEngine()).run(inputs)


@pytest.mark.parametrize(
    "answer",
    [
        lambda image: np.zeros((len(image), 3), np.float32),
        lambda _: np.zeros((0, 2), np.float32),
        lambda _: np.zeros(2, np.float32),
        lambda image: np.full((len(image), 2), np.inf, np.float32),
        lambda _: 1 / 0,
    ],
)
def test_answers_that_are_none_are_an_error_of_the_engine(sample, answer):
    with pytest.raises(ei.EngineRunError):
        ei.load(sample, engine=FakeEngine(answer=answer), self_test=False).predict(LIGHT)
    with pytest.raises(ei.NoVariantError):
        ei.load(sample, engine=FakeEngine(answer=answer))


def test_a_variant_that_fails_in_the_self_test_is_closed_and_passed_over(sample):
    closed = []

    class FirstFails(FakeEngine):
        def load(self, model, options):
            session = super().load(model, options)
            session.close = lambda: closed.append(model)
            if model == b"a int8 model":
                session.run = lambda _: {}[0]
            return session

    model = ei.load(sample, engine=FirstFails())
    assert model.selection.chosen.variant == "fake-fp32"
    assert "KeyError" in model.selection.candidates[0].rejected
    assert closed == [b"a int8 model"]


def test_golden_values_that_are_infinite_pass_nothing(tmp_path):
    def change(whole):
        wrong = TensorBlob(blobs.add(np.full((2, 2), np.inf, "<f4").tobytes()), "float32", (2, 2))
        return replace(
            whole, variants=tuple(replace(each, golden_outputs={"logits": wrong}) for each in whole.variants)
        )

    blobs = BlobSet()
    write_bundle(tmp_path / "b.eib", change(sample_manifest(blobs)), blobs)
    with pytest.raises(ei.NoVariantError, match="golden values are NaN or infinite"):
        ei.load(tmp_path / "b.eib", engine=FakeEngine())


def test_a_file_with_a_fixed_batch_that_does_not_divide_the_items_runs_all_of_them(tmp_path):
    class ThreeAtATime(FakeEngine):
        def load(self, model, options):
            session = super().load(model, options)
            session.inputs = (TensorInfo("image", "float32", (3, 1, 4, 4)),)
            session.outputs = (TensorInfo("logits", "float32", (3, 2)),)
            return session

    path = with_variants(
        tmp_path,
        inputs={"image": Binding("image", "float32", (3, 1, 4, 4))},
        outputs={"logits": Binding("logits", "float32", (3, 2))},
    )
    model = ei.load(path, engine=ThreeAtATime())
    batch = np.arange(-2, 3, dtype=np.float32).reshape(5, 1, 1, 1) * TENSOR
    assert model.run({"image": batch})["logits"][:, 0].tolist() == [-2, -1, 0, 1, 2]


def test_a_model_is_a_context(sample):
    with ei.load(sample, engine=FakeEngine()) as model:
        assert model.predict(LIGHT).label == "light"
