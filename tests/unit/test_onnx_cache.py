"""ONNX Runtime's optimized model: kept, keyed, and checked before it is used."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeinfer.engines import SessionOptions, engine_named, onnx_cache
from edgeinfer.errors import ModelLoadError
from edgeinfer.host import keep_bytes

X = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}


def model(times: int = 3) -> bytes:
    """An ONNX file: y = times * x, by additions that an optimizer leaves."""
    names = ["x", *(f"a{at}" for at in range(times - 2)), "y"]
    nodes = [helper.make_node("Add", [name, "x"], [after]) for name, after in itertools.pairwise(names)]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def answer(data: bytes, folder) -> np.ndarray:
    session = engine_named("onnxruntime").load(data, SessionOptions(cache=folder))
    return session.run(X)["y"]


def kept(folder):
    return sorted((folder / "onnx").glob("*.kept"))


def test_it_is_kept_at_the_first_load_and_used_at_the_second(tmp_path, monkeypatch):
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)
    (file,) = kept(tmp_path)
    before = file.stat().st_mtime_ns
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)
    assert file.stat().st_mtime_ns == before
    monkeypatch.setattr(onnx_cache, "processor", lambda: "another machine")
    answer(model(), tmp_path)
    assert len(kept(tmp_path)) == 2, "another processor's is not used"
    answer(model(5), tmp_path)
    assert len(kept(tmp_path)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:40],
        lambda _: b"",
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        lambda data: b"x" + data[1:],
    ],
)
def test_one_that_is_damaged_is_made_anew(tmp_path, damage):
    answer(model(), tmp_path)
    (file,) = kept(tmp_path)
    good = file.read_bytes()
    file.write_bytes(damage(good))
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)
    assert file.read_bytes() == good


def test_a_kept_form_that_this_build_cannot_load_is_made_anew(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(onnx_cache, "keep_bytes", lambda *at: keep_bytes(*at[:3], b"no model", at[4]))
        answer(model(), tmp_path)
    (file,) = kept(tmp_path)
    other = file.read_bytes()
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)
    assert file.read_bytes() != other


def test_a_folder_that_cannot_be_written_costs_no_answer(tmp_path):
    (tmp_path / "onnx").write_text("a file where the folder should be")
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)


def test_a_model_that_does_not_load_is_an_error_and_nothing_is_kept(tmp_path):
    with pytest.raises(ModelLoadError):
        answer(b"no model", tmp_path)
    assert kept(tmp_path) == []


def test_large_models_and_old_ones_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_cache, "_MOST_BYTES", 10)
    answer(model(), tmp_path)
    assert kept(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setattr(onnx_cache, "_MOST_FILES", 2)
    for times in (3, 4, 5, 6):
        answer(model(times), tmp_path)
    assert len(kept(tmp_path)) == 2


def test_no_room_for_the_optimized_form_costs_no_answer(tmp_path, monkeypatch):
    class Full:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return str(tmp_path / "not there")

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("tempfile.TemporaryDirectory", Full)
    np.testing.assert_array_equal(answer(model(), tmp_path), X["x"] * 3)
    assert kept(tmp_path) == []
