"""What the SDK costs over the bare engine, measured side by side in one run: `make bench`.

Each row times ours and the bare way in turns, in blocks of calls, and reports the median over the
blocks of both and of their difference: the machine is shared, and turns see the same noise.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import edgeinfer as ei
from edgeinfer.host import output_to, processor

BUNDLE, RESULTS = Path("build/demo/digits.eib"), Path("build/bench.json")
BLOCKS, CALLS = 101, 200
Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison, in microseconds: medians over blocks, and the quartiles of the difference."""

    what: str
    ours_us: float
    bare_us: float
    difference_us: float
    quartiles_us: tuple[float, float]


def compare(what: str, ours: Call, bare: Call) -> Row:
    """Time both in turns."""
    pairs = [(block(ours), block(bare)) for _ in range(BLOCKS)]
    differences = [one - other for one, other in pairs]
    low, _, high = statistics.quantiles(differences, n=4)
    ours_us, bare_us = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Row(what, ours_us, bare_us, statistics.median(differences), (low, high))


def block(call: Call) -> float:
    """Return the mean time of a call in microseconds."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def bare_onnx(model: bytes, tensor: np.ndarray) -> Call:
    """Return a call of ONNX Runtime as a careful user sets it up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: tensor}
    return lambda: session.run(None, feed)


def bare_litert(model: bytes, tensor: np.ndarray) -> Call:
    """Return a call of LiteRT on a tensor that is already in its layout."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.set_tensor(given, tensor)
        interpreter.invoke()
        return interpreter.get_tensor(taken)

    return call


def bare_picture(model: bytes, picture: bytes) -> Call:
    """Return Pillow, numpy and LiteRT by hand: the digits' preprocessing and nothing else."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call() -> object:
        image = Image.open(io.BytesIO(picture)).convert("L").resize((8, 8), Image.Resampling.BOX)
        values = (np.asarray(image, np.float32) / 255 - 0.5) / 0.5
        interpreter.set_tensor(given, values[None, :, :, None])
        interpreter.invoke()
        return int(interpreter.get_tensor(taken).argmax())

    return call


def rows() -> list[Row]:
    """Measure everything."""
    tensor = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    with ei.open_bundle(BUNDLE) as bundle:
        files = {each.id: bundle.read(each.blob) for each in bundle.manifest.variants}
    models = {name: ei.load(BUNDLE, variant=name) for name in files}
    last = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
    picture = BUNDLE.with_name("seven.png").read_bytes()
    found = []
    for name, model in models.items():
        bare = bare_onnx(files[name], tensor) if name.startswith("onnx") else bare_litert(files[name], last)
        found.append(compare(f"model.run, {name}", lambda model=model: model.run({"input": tensor}), bare))
    found.append(
        compare(
            "200 x 200 PNG to label, tflite-int8",
            lambda: models["tflite-int8"].predict(picture),
            bare_picture(files["tflite-int8"], picture),
        )
    )
    return found


def main() -> None:
    """Print the table and keep it as JSON."""
    if not BUNDLE.exists():
        sys.exit(f"error: {BUNDLE} is not there; run: make demo")
    with output_to(Path("build/bench.log")):
        found = rows()
    RESULTS.write_text(
        json.dumps({"processor": processor(), "rows": [asdict(row) for row in found]}, indent=2)
    )
    print(f"{processor()}, medians of {BLOCKS} blocks in turns, microseconds")
    print(f"{'what':<38}{'ours':>10}{'bare':>10}{'more':>10}   quartiles of the difference")
    for row in found:
        spread = "{:.1f} to {:.1f}".format(*row.quartiles_us)
        figures = f"{row.ours_us:>10.1f}{row.bare_us:>10.1f}{row.difference_us:>10.1f}"
        print(f"{row.what:<38}{figures}   {spread}")


if __name__ == "__main__":
    main()
