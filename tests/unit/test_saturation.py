"""uint8 x int8 on processors without VNNI: the engine gives what one with VNNI does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.export.slim_onnx import slim_onnx
from edgeinfer.engines import SessionOptions, engine_named, onnx_runtime

CHANNELS, WEIGHT = 64, 127
# Loads a file with the engine and writes what it gives for an input of 255.
RUN = f"""
import pathlib, sys
import numpy as np
from edgeinfer.engines import SessionOptions, engine_named, onnx_runtime
if sys.argv[3:]:  # the emulator shows the flags of the processor that it runs on
    onnx_runtime._CPUINFO = sys.argv[3]
session = engine_named("onnxruntime").load(pathlib.Path(sys.argv[1]).read_bytes(), SessionOptions())
given = session.run({{"x": np.full((1, {CHANNELS}, 5, 5), 255, np.float32)}})
np.save(sys.argv[2], given["y"])
"""
EMULATOR = shutil.which("qemu-x86_64")
PROCESSORS = {
    "here": None,
    "avx2": "Haswell",
    "sse4.2": "Nehalem",
}


def convolutions(zeros: Sequence[str] = ("zeros",)) -> bytes:
    """U8S8 convolutions whose products, 255 x 127, do not fit int16 in pairs; one for each weight's zero point."""
    weight = np.full((CHANNELS, CHANNELS, 3, 3), WEIGHT, np.int8)
    values = {
        "one": np.float32(1),
        "large": np.float32(2**20),
        "zero": np.uint8(0),
        "ones": np.ones(CHANNELS, np.float32),
        **{name: np.zeros(CHANNELS, np.int8) for name in zeros},
        **{f"weight{at}": weight for at in range(len(zeros))},
    }
    nodes = [helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["stored0"])]
    for at, name in enumerate(zeros):
        scale = "large" if at else "one"
        nodes += [
            helper.make_node("DequantizeLinear", [f"stored{at}", scale, "zero"], [f"real{at}"]),
            helper.make_node("DequantizeLinear", [f"weight{at}", "ones", name], [f"float{at}"], axis=0),
            helper.make_node("Conv", [f"real{at}", f"float{at}"], [f"sum{at}"]),
            helper.make_node("QuantizeLinear", [f"sum{at}", "large", "zero"], [f"stored{at + 1}"]),
        ]
    nodes.append(helper.make_node("DequantizeLinear", [f"stored{len(zeros)}", "large", "zero"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS, "rows", "columns"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("processor", PROCESSORS)
def test_pairs_of_products_do_not_saturate(processor, tmp_path):
    model = PROCESSORS[processor]
    if model and EMULATOR is None:
        pytest.skip("no qemu-x86_64 to emulate a processor without VNNI")
    path, given, flags = tmp_path / "u8s8.onnx", tmp_path / "given.npy", tmp_path / "cpuinfo"
    path.write_bytes(convolutions())
    flags.write_text("flags\t\t: sse4_2 avx2\n")
    command = [sys.executable, "-c", RUN, str(path), str(given)]
    if model:
        command = [str(EMULATOR), "-cpu", model, *command, str(flags)]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, capture_output=True, timeout=120)
    wanted = 2**20 * round(255 * WEIGHT * CHANNELS * 9 / 2**20)
    assert (np.load(given) == wanted).all()


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512_vnni\n", "default"),
        ("flags\t\t: fpu avx2 avx_vnni\nprocessor : 1\n", "default"),
        ("flags\t\t: fpu avx2 avx512f\n", "1"),
        ("Features\t: asimddp\n", "1"),
        (None, "1"),
    ],
)
def test_exact_kernels_are_asked_for_where_vnni_is_not_known_to_be(told, wanted, tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    if told is not None:
        path.write_text(told)
    monkeypatch.setattr(onnx_runtime, "_CPUINFO", path)
    session = engine_named("onnxruntime").load(convolutions(), SessionOptions())._session
    options = session.get_session_options()
    key = "session.x64quantprecision"
    assert (options.get_session_config_entry(key) if wanted == "1" else not_set(options, key)) == wanted


def not_set(options, key: str) -> str:
    with pytest.raises(RuntimeError, match=key):
        options.get_session_config_entry(key)
    return "default"


def test_slimmed_files_load_with_exact_kernels_and_others_without(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "_CPUINFO", tmp_path / "none")
    for content, wanted in ((slim_onnx(convolutions(("a", "b"))), "1"), (convolutions(("a", "a")), "0")):
        session = engine_named("onnxruntime").load(content, SessionOptions())._session
        assert session.get_session_options().get_session_config_entry("session.x64quantprecision") == wanted
