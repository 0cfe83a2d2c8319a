"""Runs in an environment with pytriton: serves an ONNX file with dynamic batches and counts what callers get.

Waits for a line on standard input before each round, prints `rate` and answers a second, and ends with the input.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import onnxruntime
from pytriton.client import ModelClient
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

_PORT = 18_431


def main() -> None:
    """Serve, and call."""
    path, callers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    width = session.get_inputs()[0].shape[1]

    @batch
    def infer(x: np.ndarray) -> list[np.ndarray]:
        return session.run(None, {"x": x})

    local = {f"{kind}_address": "127.0.0.1" for kind in ("http", "grpc", "metrics")}
    ports = {"http_port": _PORT, "grpc_port": _PORT + 1, "metrics_port": _PORT + 2}
    with Triton(config=TritonConfig(**local, **ports)) as triton:
        triton.bind(
            model_name="mlp",
            infer_func=infer,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(width,))],
            outputs=[Tensor(name="y", dtype=np.float32, shape=(width,))],
            config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher()),
        )
        triton.run()
        _round(callers, 1.0, width)
        for _ in sys.stdin:
            print("rate", _round(callers, seconds, width), flush=True)


def _round(callers: int, seconds: float, width: int) -> float:
    """Return calls a second, from when all callers are connected until they are told to stop."""
    stop, counts, connected = threading.Event(), [], threading.Barrier(callers + 1)
    item = np.zeros(width, np.float32)

    def work() -> None:
        count = 0
        with ModelClient(f"http://127.0.0.1:{_PORT}", "mlp") as client:
            client.infer_sample(item)
            connected.wait(60)
            while not stop.is_set():
                client.infer_sample(item)
                count += not stop.is_set()
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for each in threads:
        each.start()
    connected.wait(60)
    start = time.perf_counter()
    stop.wait(seconds)
    taken = time.perf_counter() - start
    stop.set()
    for each in threads:
        each.join()
    return sum(counts) / taken


if __name__ == "__main__":
    main()
