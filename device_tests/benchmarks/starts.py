"""From a cold process to its first answer, beside a script of the bare engine."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, Skipped, ratio, spread
from device_tests.benchmarks.engines import files
from device_tests.benchmarks.models import MODELS

_STARTS = 21
_MEMORY = "print(int(open('/proc/self/statm').read().split()[1]) * {page})"
_OURS = """
import sys
import edgeinfer as ei
ei.load(sys.argv[1], variant={variant!r}).predict(sys.argv[2]).label
"""
_LITERT = """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
image = Image.open(sys.argv[2]).convert("L").resize((8, 8), Image.Resampling.BOX)
values = (np.asarray(image, np.float32) / 255 - 0.5) / 0.5
interpreter.set_tensor(given["index"], values[None, :, :, None])
interpreter.invoke()
interpreter.get_tensor(taken["index"]).argmax()
"""
_ONNX = """
import sys
import numpy as np
from PIL import Image
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
image = Image.open(sys.argv[2]).convert("L").resize((8, 8), Image.Resampling.BOX)
values = (np.asarray(image, np.float32) / 255 - 0.5) / 0.5
session.run(None, {session.get_inputs()[0].name: values[None, None]})[0].argmax()
"""


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Measure both engines, selection remembered, bytecode compiled as pip leaves it."""
    picture = Path("build/demo/seven.png")
    if not picture.exists():
        yield Skipped("first answer of a cold process", f"{picture} is not there: make demo")
        return
    compileall.compile_dir("edgeinfer", quiet=2)
    bundle = MODELS / "digits.eib"
    for variant, script in (("tflite-int8", _LITERT), ("onnx-int8", _ONNX)):
        ei.load(bundle, variant=variant).close()
        model = folder / variant
        model.write_bytes(files(bundle)[variant])
        ours = [_OURS.format(variant=variant), str(bundle), str(picture)]
        bare = [script, str(model), str(picture)]
        _start(ours), _start(bare)
        pairs = [(_start(ours), _start(bare)) for _ in range(_STARTS)]
        yield ratio(f"cold process to first answer, digits {variant}", [(a[0], b[0]) for a, b in pairs], 1.10)
        if sys.platform == "linux":
            figure, low, high = spread([(a[1] - b[1]) / 1e6 for a, b in pairs])
            told = [
                f"{spread([each[1] / 1e6 for each in side])[0]:.0f} MB" for side in zip(*pairs, strict=True)
            ]
            yield Row(
                f"resident memory behind it, digits {variant}",
                told[0],
                told[1],
                figure,
                low,
                high,
                "MB more",
                8,
            )


def _start(arguments: list[str]) -> tuple[float, float]:
    """Return microseconds from start to end of a process, and its resident bytes at the end."""
    script, *rest = arguments
    program = script + _MEMORY.format(page=os.sysconf("SC_PAGE_SIZE"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *rest], capture_output=True, check=True, timeout=60, env=environment
    )
    return (time.perf_counter() - begun) * 1e6, float(done.stdout)
