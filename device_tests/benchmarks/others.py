"""Beside what else one would install: MediaPipe Tasks' image classifier, and a Triton served over loopback.

Each gets an environment of its own under `build/benchmarks`, made once; where that fails, the row says why.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, Skipped, ratio, spread
from device_tests.benchmarks.crowds import Crowd
from device_tests.benchmarks.environments import environment, pairs_of
from device_tests.benchmarks.models import MODELS, mlp

_HERE = Path(__file__).parent
_CALLERS, _SECONDS, _ROUNDS = 64, 2.0, 5
# Triton's Python backend comes with interpreters of its own, and those of Debian fit.
_DEBIAN = Path("/usr/bin/python3.11")


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Measure both."""
    yield _mediapipe()
    yield _triton(folder)


def _mediapipe() -> Row | Skipped:
    what = "32 x 32 pixels to label, beside MediaPipe Tasks, same TFLite file"
    wanted = ["mediapipe>=1.2,<2", "ai-edge-litert>=2.1,<3", "pillow>=11,<14", "click>=8.2,<9"]
    python = environment("mediapipe", Path(sys.executable), wanted)
    if isinstance(python, str):
        return Skipped(what, python)
    pairs = pairs_of(python, "mediapipe_side.py", MODELS / "cifar10.eib")
    if isinstance(pairs, str):
        return Skipped(what, pairs)
    return ratio(what, pairs, None)


def _triton(folder: Path) -> Row | Skipped:
    what = "64 callers, MLP 2048-2048-2048, beside Triton over loopback"
    python = environment("triton", _DEBIAN, ["nvidia-pytriton==0.7.*", "onnxruntime>=1.20,<2"])
    if isinstance(python, str):
        return Skipped(what, python)
    model = folder / "mlp.onnx"
    model.write_bytes(mlp(folder / "triton.eib"))
    ours = ei.load(folder / "triton.eib")
    given = {"x": np.random.default_rng(0).standard_normal((1, 2048)).astype(np.float32)}
    pairs = []
    with subprocess.Popen(
        [python, _HERE / "triton_side.py", model, str(_CALLERS), str(_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin
        assert server.stdout
        try:
            for _ in range(_ROUNDS):
                rate = Crowd(lambda: ours.run(given), _CALLERS).run(_SECONDS)
                print("go", file=server.stdin, flush=True)
                answer = next((line for line in server.stdout if line.startswith("rate ")), None)
                if answer is None:
                    return Skipped(what, "the server ended")
                pairs.append((rate, float(answer.split()[1])))
        finally:
            server.stdin.close()
            server.wait(60)
    figure, low, high = spread([one / other for one, other in pairs])
    told = [f"{spread(each)[0]:,.0f}/s" for each in zip(*pairs, strict=True)]
    return Row(what, told[0], told[1], figure, low, high, "times")
