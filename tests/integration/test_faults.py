"""Engines that crash, hang, or run out of memory: the app goes on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.testing import FakeEngine

pytestmark = pytest.mark.timeout(120)
MODELS = Path(__file__).parents[2] / "sample_apps/models"
TENSOR = {"image": np.ones((1, 1, 4, 4), np.float32)}


def engine_that(folder: Path, does: str) -> str:
    """Return a folder with an `onnxruntime` that does something when it loads a model, for child processes alone."""
    package = folder / "onnxruntime"
    package.mkdir()
    (package / "__init__.py").write_text(
        textwrap.dedent(
            f"""
            import os, threading
            __version__ = "1.32.0"
            def get_available_providers(): return ["CPUExecutionProvider"]
            def disable_telemetry_events(): pass
            class GraphOptimizationLevel: ORT_DISABLE_ALL = 0
            class SessionOptions:
                def add_session_config_entry(self, *_): pass
            class InferenceSession:
                def __init__(self, *_, **__): {does}
            """
        )
    )
    return str(folder)


@pytest.mark.parametrize(
    ("does", "message"),
    [("os.abort()", r"failed \(exit -6: "), ("threading.Event().wait()", "no result")],
)
def test_a_file_that_crashes_or_hangs_an_engine_ends_a_child_alone(tmp_path, monkeypatch, does, message):
    monkeypatch.setenv("PYTHONPATH", engine_that(tmp_path, does))
    monkeypatch.setattr(import_module("edgeinfer.inference.measurement"), "_TIMEOUT_S", 3.0)
    with pytest.raises(ei.NoVariantError, match=message):
        ei.load(MODELS / "digits.eib", engine="onnxruntime", precision="int8", isolate=True)
    model = ei.load(MODELS / "digits.eib", isolate=True, wishes=ei.Wishes(avoid=("fp32",)))
    assert model.selection.chosen.engine == "litert", "the other engine answers"
    rejected = next(each for each in model.selection.candidates if each.engine == "onnxruntime")
    assert "measuring onnx-int8 on onnxruntime" in rejected.rejected


def test_files_that_run_are_loaded_after_their_child(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path))
    model = ei.load(MODELS / "digits.eib", variant="onnx-int8", isolate=True)
    assert model.run({"input": np.zeros((1, 1, 8, 8), np.float32)})["logits"].shape == (1, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's here")
def test_memory_that_runs_out_in_a_run_is_an_error_and_the_model_goes_on():
    program = """
        import resource, sys
        import numpy as np
        import edgeinfer as ei
        model = ei.load(sys.argv[1], variant="onnx-fp32")
        one = {"input": np.zeros((1, 3, 32, 32), np.float32)}
        many = {"input": np.zeros((4000, 3, 32, 32), np.float32)}
        model.run(one)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 100_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            model.run(many)
        except ei.EngineRunError as error:
            print("error", str(error).startswith("onnxruntime failed"))
        print(model.run(one)["logits"].shape, model.health.errors)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(MODELS / "cifar10.eib")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines() == ["error True", "(1, 10) 1"], done.stderr


@pytest.mark.parametrize("error", [MemoryError("no room"), ZeroDivisionError(), RuntimeError("gpu lost")])
def test_whatever_an_engine_raises_in_a_run_is_ours_and_counted(sample, error):
    broken = [False]

    def answer(image):
        if broken[0]:
            raise error
        return np.zeros((len(image), 2), np.float32)

    model = ei.load(sample, engine=FakeEngine(answer), self_test=False)
    model.run(TENSOR)
    broken[0] = True
    for deadline_ms in (None, 20_000):
        with pytest.raises(ei.EngineRunError, match=type(error).__name__):
            model.run(TENSOR, deadline_ms=deadline_ms)
    broken[0] = False
    model.run(TENSOR)
    assert (model.health.errors, model.health.runs) == (2, 2)
