"""The engines without what makes them fast: their answers show how much of a value is kernels' rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from edgeinfer.engines import EngineInfo, Session, SessionOptions, TensorInfo, engine_named
from edgeinfer.errors import ModelLoadError

Array = NDArray[np.generic]


class PlainEngine:
    """ONNX Runtime without graph optimizations, or LiteRT without XNNPACK; behind the same seam."""

    def __init__(self, name: str) -> None:
        self._real = engine_named(name)
        self.name = name
        self.formats = self._real.formats

    def info(self) -> EngineInfo:
        """Say which version is here."""
        return self._real.info()

    def load(self, model: bytes, options: SessionOptions) -> Session:
        """Load a model file."""
        real = self._real.load(model, options)
        inputs, outputs = real.inputs, real.outputs
        real.close()
        try:
            if self.name == "onnxruntime":
                return _PlainOnnx(model, inputs, outputs)
            return _PlainLiteRt(model, inputs, outputs)
        except Exception as error:  # both runtimes raise whatever they like
            raise ModelLoadError(f"the plain {self.name} cannot load the model ({error})") from error


class _Plain:
    provider = "CPU, without optimizations"

    def __init__(self, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        self.inputs, self.outputs = inputs, outputs

    def close(self) -> None:
        pass


class _PlainOnnx(_Plain):
    def __init__(self, model: bytes, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        super().__init__(inputs, outputs)
        self._session = onnx_session(model, optimize="none")

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = [each.name for each in self.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


class _PlainLiteRt(_Plain):
    def __init__(self, model: bytes, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        super().__init__(inputs, outputs)
        self._interpreter: Any = Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        interpreter = self._interpreter
        at = {each["name"]: each["index"] for each in interpreter.get_input_details()}
        for name, value in inputs.items():
            interpreter.resize_tensor_input(at[name], value.shape, strict=False)
        interpreter.allocate_tensors()
        for name, value in inputs.items():
            interpreter.set_tensor(at[name], value)
        interpreter.invoke()
        return {
            each["name"]: interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()
        }
