from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeinfer.bundle import open_bundle
from edgeinfer.engines import ENGINE_NAMES, SessionOptions, engine_named
from edgeinfer.errors import EngineRunError, EngineUnavailable, ModelLoadError

OPTIONS = SessionOptions(threads=1)


def doubling(opset: int = 17, ir: int = 8) -> bytes:
    """An ONNX model: y = x + x, with a free batch."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "double", tensors[:1], tensors[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    return model.SerializeToString()


def test_the_catalog_knows_its_engines():
    assert ENGINE_NAMES == ("litert", "onnxruntime")
    for name in ENGINE_NAMES:
        info = engine_named(name).info()
        assert info.name == name
        assert info.version[0].isdigit()
        assert info.accelerators
    with pytest.raises(EngineUnavailable, match="expected litert or onnxruntime, found 'tensorrt'"):
        engine_named("tensorrt")


def test_onnx_runtime_runs_any_batch():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    assert (session.inputs[0].name, session.inputs[0].shape) == ("x", ("batch", 3))
    for count in (1, 4):
        values = np.ones((count, 3), np.float32)
        np.testing.assert_array_equal(session.run({"x": values})["y"], 2 * values)


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_what_is_no_model_is_refused(name, capfd):
    for data in (b"", b"no model", bytes(1000)):
        with pytest.raises(ModelLoadError, match="cannot load the model"):
            engine_named(name).load(data, OPTIONS)
    capfd.readouterr()


def test_an_opset_that_the_runtime_is_too_old_for_says_so(capfd):
    with pytest.raises(ModelLoadError, match=r"opset|version.*ship a variant of an older opset"):
        engine_named("onnxruntime").load(doubling(opset=999), OPTIONS)
    with pytest.raises(ModelLoadError, match="older opset"):
        engine_named("onnxruntime").load(doubling(ir=99), OPTIONS)
    capfd.readouterr()


def test_what_the_engine_raises_while_running_is_mapped():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    for wrong in (
        {"x": np.ones((1, 4), np.float32)},
        {"x": np.ones((1, 3))},
        {"z": np.ones((1, 3), np.float32)},
    ):
        with pytest.raises(EngineRunError, match="onnxruntime failed"):
            session.run(wrong)


def test_a_closed_session_raises_an_error_of_ours():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    session.close()
    with pytest.raises(EngineRunError, match="the model is closed; load it again"):
        session.run({"x": np.ones((1, 3), np.float32)})


def test_a_session_may_be_shared_between_threads():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    wrong = []

    def work(value: int) -> None:
        values = np.full((2, 3), value, np.float32)
        for _ in range(200):
            if not np.array_equal(session.run({"x": values})["y"], 2 * values):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not wrong


@pytest.mark.parametrize(
    ("name", "blocked", "message"),
    [
        ("onnxruntime", ("onnxruntime",), "pip install 'edgeinfer[onnx]'"),
        ("litert", ("ai_edge_litert", "tflite_runtime", "tensorflow"), "pip install 'edgeinfer[tflite]'"),
    ],
)
def test_an_engine_that_is_not_installed_says_how_to_get_it(name, blocked, message):
    code = f"""
import sys
for module in {blocked!r}:
    sys.modules[module] = None
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import EngineUnavailable
for call in (lambda: engine_named({name!r}).info(), lambda: engine_named({name!r}).load(b"", SessionOptions())):
    try:
        call()
    except EngineUnavailable as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.count(message) == 2, done.stderr


def test_litert_is_found_under_its_older_names():
    """A stand-in under the old name is used when the new package is not there."""
    code = """
import sys, types
sys.modules["ai_edge_litert"] = None
package, module = types.ModuleType("tflite_runtime"), types.ModuleType("tflite_runtime.interpreter")
module.Interpreter = object
sys.modules.update({"tflite_runtime": package, "tflite_runtime.interpreter": module})
from edgeinfer.engines import engine_named
print(engine_named("litert").info().package)
del module.Interpreter
lite = types.ModuleType("tensorflow.lite"); lite.Interpreter = object
sys.modules.update({"tensorflow": types.ModuleType("tensorflow"), "tensorflow.lite": lite})
print(engine_named("litert").info().package)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["tflite-runtime", "tensorflow"], done.stderr


def test_idle_threads_sleep():
    """After a run with two threads, the process uses next to no processor time while it waits."""
    code = """
import sys, time
import numpy as np
from edgeinfer.engines import SessionOptions, engine_named
session = engine_named("onnxruntime").load(sys.stdin.buffer.read(), SessionOptions(threads=2))
values = np.ones((1, 512), np.float32)
for _ in range(50):
    session.run({"x": values})
before, end = time.process_time(), time.monotonic() + 0.5
while time.monotonic() < end:
    time.sleep(0.05)
print(time.process_time() - before)
"""
    size = 512
    weights = onnx.numpy_helper.from_array(np.ones((size, size), np.float32), "w")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "dense", tensors[:1], tensors[1:], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=model.SerializeToString(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert float(done.stdout) < 0.1, "seconds of processor time in half a second; spinning takes 0.5"


def test_answers_in_bound_memory_stay_as_they_were_and_calls_may_overlap():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    one = [np.full((1, 3), value, np.float32) for value in range(50)]
    kept = [session.run({"x": each})["y"] for each in one]
    for value, answer in enumerate(kept):
        assert answer.tolist() == [[2.0 * value] * 3]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: session.run({"x": each})["y"], one * 20))
    assert [answer[0, 0] for answer in answers] == [2.0 * value for value in range(50)] * 20
    turned = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))[:1]
    assert session.run({"x": turned})["y"].tolist() == [[0.0, 2.0, 4.0]]


def digits(engine: str) -> bytes:
    with open_bundle(Path(__file__).parents[2] / "sample_apps/models/digits.eib") as bundle:
        kind = {"litert": "tflite", "onnxruntime": "onnx"}[engine]
        return bundle.read(next(each.blob for each in bundle.manifest.variants if each.format == kind))


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_one_array_in_and_one_out_is_the_same_run(name):
    session = engine_named(name).load(digits(name), OPTIONS)
    (given,), (taken,) = session.inputs, session.outputs
    shape = (1, *given.shape[1:])
    items = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    wanted = [session.run({given.name: each})[taken.name] for each in items]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(session.run_one, items))
    np.testing.assert_array_equal(got, wanted)
    with pytest.raises(EngineRunError, match=f"{name} failed"):
        session.run_one(items[0].astype(np.float64))
    with pytest.raises(EngineRunError, match=f"{name} failed"):
        session.run({"another": items[0]})
    np.testing.assert_array_equal(session.run_one(items[1]), wanted[1])
    session.close()
    with pytest.raises(EngineRunError, match="the model is closed; load it again"):
        session.run_one(items[0])


def test_one_array_of_several_items_is_run_too():
    session = engine_named("onnxruntime").load(doubling(), OPTIONS)
    assert session.run_one(np.ones((2, 3), np.float32)).tolist() == [[2.0] * 3] * 2
