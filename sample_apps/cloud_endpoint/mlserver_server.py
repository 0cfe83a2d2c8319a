"""Runs in an environment with mlserver: serves an ONNX file. Arguments: file, name, port."""

from __future__ import annotations

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor

DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(uint8)": "UINT8",
    "tensor(int64)": "INT64",
}


class Teacher(MLModel):
    """Answers with ONNX Runtime."""

    async def load(self) -> bool:
        """Read the file, and say what the model takes and gives."""
        assert self.settings.parameters is not None
        assert self.settings.parameters.uri is not None
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, providers=["CPUExecutionProvider"]
        )
        self.inputs = [described(each) for each in self.session.get_inputs()]
        self.outputs = [described(each) for each in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the model."""
        names = [each.name for each in self.session.get_outputs()]
        values = self.session.run(
            names, {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        )
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            model_version=self.version,
            outputs=[
                NumpyCodec.encode_output(name, value) for name, value in zip(names, values, strict=True)
            ],
        )


def described(tensor: onnxruntime.NodeArg) -> MetadataTensor:
    """Return a tensor as the protocol's metadata has it."""
    shape = [axis if isinstance(axis, int) else -1 for axis in tensor.shape]
    return MetadataTensor(name=tensor.name, datatype=DATATYPES[tensor.type], shape=shape)


async def main() -> None:
    """Serve until told to stop."""
    model, served_as, port = sys.argv[1:4]
    settings = Settings(
        host="127.0.0.1",
        http_port=int(port),
        grpc_port=int(port) + 1,
        metrics_endpoint=None,
        parallel_workers=0,
    )
    server = MLServer(settings)
    named = ModelSettings(
        name=served_as, implementation=Teacher, parameters=ModelParameters(uri=model, version="1")
    )
    await server.start([named])


if __name__ == "__main__":
    asyncio.run(main())
