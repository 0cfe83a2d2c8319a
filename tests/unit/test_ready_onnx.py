"""What is wrong with real ONNX files, and what is done about it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from ready_models import classifier, detector, saved, weight

from converters.ready.batch import fix_lengths, free_batch, state_outputs
from converters.ready.onnx_file import clean, lower, read_onnx
from converters.ready.proof import outputs_of, same
from edgeinfer.errors import ConversionError

PICTURES = np.random.default_rng(5).normal(size=(3, 3, 8, 8)).astype(np.float32)


def one(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return outputs_of(model, PICTURES[:1])


def test_weights_that_are_listed_as_inputs_are_inputs_no_more():
    model = classifier()
    before = one(model)
    for name in ("conv.weight", "fc.bias"):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    assert "took 2 weights out of the inputs" in clean(model, None)
    assert [each.name for each in model.graph.input] == ["pixels"]
    assert same(before, one(model))


def test_weights_in_a_second_file_are_taken_in(tmp_path):
    model = classifier()
    before = one(model)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    read, notes = read_onnx(tmp_path / "m.onnx")
    assert notes[0].startswith("took in 5 weights from m.data")
    (tmp_path / "m.data").unlink()
    assert same(before, one(read))
    with pytest.raises(ConversionError, match="put that file beside the model"):
        read_onnx(tmp_path / "m.onnx")


def test_what_nothing_uses_is_removed():
    model = classifier()
    before = one(model)
    model.graph.initializer.append(weight("left.over", 9))
    model.graph.node.append(helper.make_node("Relu", ["b"], ["nowhere"]))
    model.graph.node[0].doc_string = "File 'train.py', line 3" * 100
    model.doc_string = "made on somebody's machine"
    notes = "; ".join(clean(model, None))
    assert "removed 1 nodes that no output needs" in notes
    assert "removed 1 weights that nothing uses" in notes
    assert "bytes of names and notes" in notes
    assert b"somebody" not in model.SerializeToString()
    assert b"train.py" not in model.SerializeToString()
    assert same(before, one(model))


def test_weights_that_only_a_branch_reads_stay():
    model = classifier()
    then = helper.make_graph(
        [helper.make_node("Mul", ["logits", "factor"], ["doubled"])],
        "then",
        [],
        [helper.make_tensor_value_info("doubled", TensorProto.FLOAT, None)],
    )
    otherwise = helper.make_graph(
        [helper.make_node("Identity", ["logits"], ["same"])],
        "otherwise",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(2), "factor"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.bool_(True), "yes"))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["answer"], then_branch=then, else_branch=otherwise)
    )
    model.graph.output[0].name = "answer"
    before = one(model)
    clean(model, None)
    assert "factor" in {each.name for each in model.graph.initializer}
    assert same(before, one(model))


def test_a_model_can_be_cut_at_any_tensor():
    model = classifier()
    inner = classifier()
    del inner.graph.output[:]
    inner.graph.output.append(onnx.ValueInfoProto(name="c"))
    before = one(inner)
    notes = clean(model, ["c"])
    assert notes[0] == "cut behind c"
    assert [each.op_type for each in model.graph.node] == ["Conv", "Relu", "GlobalAveragePool"]
    state_outputs(model)
    onnx.checker.check_model(model)
    assert [each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim] == [1, 6, 1, 1]
    assert same(before, one(model))
    with pytest.raises(ConversionError, match=r"no such tensor: expected .*logits, found nothing.here"):
        clean(classifier(), ["nothing.here"])


def test_several_inputs_are_refused_by_name():
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 4]))
    model.graph.node.append(helper.make_node("Mul", ["logits", "mask"], ["masked"]))
    model.graph.output[0].name = "masked"
    with pytest.raises(ConversionError, match=r"expected one input, .* found pixels, mask"):
        clean(model, None)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95, 0.999])
def test_a_model_that_is_cut_short_is_refused_in_one_line(tmp_path, share):
    data = classifier().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConversionError, match="no whole ONNX model") as caught:
        read_onnx(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_what_is_no_model_or_not_there_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x89PNG\r\n\x1a\n" * 20)
    with pytest.raises(ConversionError, match="no whole ONNX model"):
        read_onnx(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="cannot read the model"):
        read_onnx(tmp_path / "none.onnx")


def test_an_operator_that_the_runtime_lacks_is_named(tmp_path):
    model = classifier()
    model.graph.node[1].op_type = "Reluctant"
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    read, _ = read_onnx(saved(model, tmp_path / "m.onnx"))
    clean(read, None)
    with pytest.raises(ConversionError, match=r"cannot run the model .*Reluctant.*; replace or remove"):
        state_outputs(read)


@pytest.mark.parametrize(
    ("opset", "release", "wanted", "version"),
    [(23, "1.20", 21, 10), (23, "1.17", 20, 9), (21, "1.20", 21, 10), (17, "1.24", 17, 8)],
)
def test_operator_set_and_file_version_are_lowered_to_the_release(opset, release, wanted, version):
    model = classifier(opset=opset)
    before = one(model)
    clean(model, None)
    lowered, notes = lower(model, release, quantize=False)
    assert lowered.opset_import[0].version == wanted
    assert lowered.ir_version == version
    assert same(before, one(lowered))
    assert bool(notes) == ((opset, release) in ((23, "1.20"), (23, "1.17")))


def test_a_file_version_that_is_too_new_is_lowered_by_itself():
    model = classifier()
    before = one(model)
    model.ir_version = 13
    lowered, notes = lower(model, "1.20", quantize=False)
    assert notes == ["file version (IR) 13 to 10"]
    assert same(before, one(lowered))


def test_old_operator_sets_are_raised_for_quantization_alone():
    model = classifier(opset=11)
    before = one(model)
    kept, _ = lower(model, "1.20", quantize=False)
    assert kept.opset_import[0].version == 11
    raised, notes = lower(model, "1.20", quantize=True)
    assert raised.opset_import[0].version == 17
    assert "operator set 11 to 17" in notes
    assert same(before, one(raised))


def test_what_an_older_release_does_not_have_says_which_does():
    model = classifier(opset=23)
    # Swish came with operator set 24, RMSNormalization with 23.
    model.graph.initializer.append(weight("gain", 8))
    model.graph.node[1].CopyFrom(helper.make_node("RMSNormalization", ["a", "gain"], ["b"]))
    one(model)
    with pytest.raises(ConversionError) as caught:
        lower(model, "1.20", quantize=False)
    assert "operator set 23 cannot be turned into 21, which ONNX Runtime 1.20 takes" in str(caught.value)
    assert "raise runtimes.onnxruntime to 1.23" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "how"),
    [
        (classifier(reshape=False), "batch of 1 made free: a batch of 3 equals 3 of 1"),
        (classifier(), "batch of 1 made free through its reshapes: a batch of 3 equals 3 of 1"),
        (classifier(batch="n", reshape=False), "batch is free: a batch of 3 equals 3 of 1"),
    ],
)
def test_a_batch_is_made_free_and_proven(model, how):
    singly = np.concatenate([outputs_of(model, PICTURES[at : at + 1])["logits"] for at in range(3)])
    state_outputs(model)
    free, note = free_batch(model)
    assert note == how
    np.testing.assert_allclose(outputs_of(free, PICTURES)["logits"], singly, rtol=1e-5, atol=1e-6)
    assert free.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_batch_that_the_model_mixes_stays_one():
    """A mean over all axes: three pictures in one batch would be blended."""
    model = classifier()
    model.graph.node[1].CopyFrom(helper.make_node("ReduceMean", ["a"], ["m"], axes=[0], keepdims=1))
    model.graph.node.insert(2, helper.make_node("Sub", ["a", "m"], ["x"]))
    model.graph.node.insert(3, helper.make_node("Add", ["x", "a"], ["b"]))
    state_outputs(model)
    kept, note = free_batch(model)
    assert note == "batch stays 1: the model computes something else in another one"
    assert kept.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_open_sides_take_the_recipe_s_lengths():
    model = classifier(side="s")
    with pytest.raises(ConversionError, match=r"leaves axis 2 open.*state height and width under .input."):
        fix_lengths(model, ())
    fix_lengths(model, (None, 3, 8, 8))
    assert [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 8, 8]


def test_an_output_without_a_batch_is_refused():
    model = classifier()
    model.graph.node.append(helper.make_node("Squeeze", ["logits"], ["flat"]))
    model.graph.output[0].name = "flat"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ConversionError, match="output flat has no batch axis"):
        state_outputs(model)


def test_several_outputs_are_freed_together():
    model = detector()
    state_outputs(model)
    free, note = free_batch(model)
    assert "a batch of 3 equals 3 of 1" in note
    assert [each.type.tensor_type.shape.dim[0].dim_param for each in free.graph.output] == ["batch", "batch"]


def test_any_truncation_is_refused_and_raises_nothing_else(tmp_path):
    """Where what is left can be read, it is no model of one input that runs, or it is the whole model."""
    model = detector()
    whole = model.SerializeToString()
    for end in range(0, len(whole), 23):
        (tmp_path / "m.onnx").write_bytes(whole[:end])
        with pytest.raises(ConversionError):
            through(tmp_path / "m.onnx")


def through(path):
    read, _ = read_onnx(path)
    clean(read, None)
    state_outputs(read)
