"""The old tflite-runtime 2.14, in an environment of its own: numpy below 2 and Python 3.11 at most."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "sample_apps/models"
PROGRAM = """
import sys
import numpy, tflite_runtime
import edgeinfer as ei
assert numpy.__version__.startswith("1.")
for path in sys.argv[1:]:
    model = ei.load(path, engine="litert", precision="int8")
    assert not model.selection.cached
    many = {each.name: numpy.zeros((3, *each.shape[1:]), numpy.float32) for each in model.manifest.inputs}
    outputs = model.run(many, deadline_ms=60_000)
    print(model.selection.chosen.runtime, *(value.shape[0] for value in outputs.values()))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment with edgeinfer[tflite-legacy,image]."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime 2.14 has no build for Python 3.12 or newer")
    folder = tmp_path_factory.mktemp("legacy")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    binary = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wanted = ["tflite-runtime==2.14.*", "numpy>=1.26,<2", "click>=8.2,<9", "pillow>=11,<14"]
    done = subprocess.run(
        [binary, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"tflite-runtime 2.14 cannot be installed here: {last}")
    return binary


@pytest.mark.timeout(400)
def test_int8_files_reproduce_their_golden_outputs_on_the_old_runtime(python, tmp_path):
    bundles = [str(MODELS / f"{name}.eib") for name in ("digits", "spoken-digits", "cifar10")]
    done = subprocess.run(
        [python, "-c", PROGRAM, *bundles],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "EDGEINFER_CACHE": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["tflite-runtime 2.14.0 3"] * 3, done.stderr
