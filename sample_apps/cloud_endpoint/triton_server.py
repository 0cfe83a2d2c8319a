"""Runs in an environment with pytriton: serves an ONNX file. Arguments: file, name, port."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
}


def described(tensor: onnxruntime.NodeArg) -> Tensor:
    """Return a tensor as pytriton declares it: without the batch axis."""
    shape = tuple(axis if isinstance(axis, int) else -1 for axis in tensor.shape[1:])
    return Tensor(name=tensor.name, dtype=DTYPES[tensor.type], shape=shape)


def main() -> None:
    """Serve until told to stop."""
    model, served_as, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    @batch
    def infer(**inputs: np.ndarray) -> list[np.ndarray]:
        return session.run(None, inputs)

    addresses = {f"{kind}_address": "127.0.0.1" for kind in ("http", "grpc", "metrics")}
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    with Triton(config=TritonConfig(**addresses, **ports)) as triton:
        triton.bind(
            model_name=served_as,
            infer_func=infer,
            inputs=[described(each) for each in session.get_inputs()],
            outputs=[described(each) for each in session.get_outputs()],
            config=ModelConfig(max_batch_size=64),
        )
        triton.serve()


if __name__ == "__main__":
    main()
