"""What stays behind: memory after many predictions, and processor time of a process that does nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from device_tests.benchmarks.compare import Row, Skipped
from device_tests.benchmarks.models import MODELS

_PREDICTIONS = 100_000
_GROWTH = """
import itertools, json, sys
import numpy as np
import edgeinfer as ei
from edgeinfer.host import resident_bytes
model = ei.load(sys.argv[1], variant=sys.argv[2])
random = np.random.default_rng(0)
batches = [{"input": random.normal(size=(size, 1, 8, 8)).astype(np.float32)} for size in range(1, 17)]
order = random.integers(0, len(batches), int(sys.argv[3]))
for at in order[:1000]:
    model.run(batches[at])
before = resident_bytes()
for at in order:
    model.run(batches[at])
print(json.dumps(resident_bytes() - before))
"""
_IDLE = """
import json, resource, sys, threading, time
import numpy as np
import edgeinfer as ei
model = ei.load(sys.argv[1])
for _ in range(100):
    model.run({"input": np.zeros((1, 3, 32, 32), np.float32)}, deadline_ms=1000)
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
before, start = used(), time.perf_counter()
threading.Event().wait(1)
print(json.dumps((used() - before) / (time.perf_counter() - start)))
"""


def rows(_folder: Path) -> Iterator[Row | Skipped]:
    """Measure in processes of their own."""
    if sys.platform != "linux":
        yield Skipped("growth of memory", "only Linux tells the present resident memory")
        return
    for variant in ("tflite-int8", "onnx-int8"):
        grown = _child(_GROWTH, str(MODELS / "digits.eib"), variant, str(_PREDICTIONS)) / 1e6
        what = f"growth of memory over {_PREDICTIONS:,} runs of batches of 1 to 16, {variant}"
        yield Row(what, f"{grown:.2f} MB", "", grown, grown, grown, "MB", 2.0)
    share = 100 * _child(_IDLE, str(MODELS / "cifar10.eib"))
    yield Row(
        "one core, in the second after a prediction", f"{share:.2f} %", "", share, share, share, "%", 1.0
    )


def _child(program: str, *arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, check=True, timeout=600
    )
    return float(json.loads(done.stdout))
