"""Runs in an environment with kserve: serves an ONNX file. Arguments: file, name, port."""

from __future__ import annotations

import sys
from typing import Any

import kserve.protocol.rest.server as rest
import numpy as np
import onnxruntime
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(uint8)": "UINT8",
    "tensor(int64)": "INT64",
}


class Teacher(Model):
    """Answers with ONNX Runtime."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Say what the model takes."""
        return [described(each) for each in self.session.get_inputs()]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Say what the model gives."""
        return [described(each) for each in self.session.get_outputs()]

    def predict(self, payload: InferRequest, *_headers: Any, **_more: Any) -> InferResponse:
        """Run the model."""
        names = [each.name for each in self.session.get_outputs()]
        values = self.session.run(names, {each.name: each.as_numpy() for each in payload.inputs})
        binary = bool(payload.use_binary_outputs)
        outputs = []
        for name, value in zip(names, values, strict=True):
            output = InferOutput(name, list(value.shape), "FP32")
            output.set_data_from_numpy(np.ascontiguousarray(value), binary_data=binary)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id, model_name=self.name, infer_outputs=outputs, use_binary_outputs=binary
        )


def described(tensor: Any) -> dict[str, Any]:
    """Return a tensor as the protocol's metadata has it."""
    shape = [axis if isinstance(axis, int) else -1 for axis in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.type], "shape": shape}


class OnThisMachine(uvicorn.Config):
    """KServe 0.21 listens on all interfaces and has no option for it."""

    def __init__(self, app: Any, host: str = "", **options: Any) -> None:  # noqa: ARG002
        super().__init__(app, host="127.0.0.1", **options)


if __name__ == "__main__":
    model, served_as, at = sys.argv[1:4]
    sys.argv = sys.argv[:1]  # KServe parses the rest
    rest.uvicorn.Config = OnThisMachine
    ModelServer(http_port=int(at), enable_grpc=False, grace_period=1).start([Teacher(model, served_as)])
