"""LiteRT, under whichever of its three names is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinfer.bundle import Quantization
from edgeinfer.engines.seam import Array, EngineInfo, Session, SessionOptions, TensorInfo
from edgeinfer.errors import EngineRunError, EngineUnavailable, ModelLoadError
from edgeinfer.host import versions_of
from edgeinfer.importing import imported

# Distribution, and the module that holds its Interpreter: the first that imports is used.
_HOMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow.lite"),
)
_CPU = "CPU (XNNPACK)"


class LiteRt:
    """Runs `tflite` variants on the CPU, with the XNNPACK kernels where the build has them."""

    name = "litert"
    formats = frozenset({"tflite"})

    def info(self) -> EngineInfo:
        """Say which version is here, and under which name."""
        package, _ = _import()
        return EngineInfo(self.name, package, _version(package), (_CPU,))

    def load(self, model: bytes, options: SessionOptions) -> Session:
        """Load a TFLite file."""
        package, interpreter = _import()
        if options.provider not in (None, _CPU):
            raise EngineUnavailable(f"{package} computes on one thing", found=options.provider, expected=_CPU)

        def make() -> Any:
            made = interpreter(model_content=model, num_threads=options.threads)
            made.allocate_tensors()
            return made

        try:
            first = make()
            return (_OneToOne if _OneToOne.fits(first) else _LiteRtSession)(make, first)
        except Exception as error:  # ValueError, RuntimeError and others, by version
            raise ModelLoadError(
                f"{package} {_version(package)} cannot load the model ({error})",
                next_step=f"upgrade {package}, or ship a variant for this version",
            ) from error


class _LiteRtSession:
    """Interpreters, one a call: they are not thread-safe, and are made when calls first overlap."""

    provider = _CPU

    def __init__(self, make: Callable[[], Any], first: Any) -> None:
        self._make = make
        inputs, outputs = first.get_input_details(), first.get_output_details()
        self.inputs = tuple(_tensor(each) for each in inputs)
        free = any(each.shape[:1] == (None,) for each in self.inputs)
        # Files with a free batch state the outputs' shapes for a batch of 1.
        self.outputs = tuple(_with_free_batch(_tensor(each)) if free else _tensor(each) for each in outputs)
        self._input_at = {each["name"]: each["index"] for each in inputs}
        self._output_at = {each["name"]: each["index"] for each in outputs}
        self._shapes = {each["name"]: tuple(int(axis) for axis in each["shape"]) for each in inputs}
        self._free: list[_Sized] | None = [_Sized(first, self._shapes)]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        free = self._free
        if free is None:
            raise EngineRunError("the model is closed", next_step="load it again")
        try:
            try:
                one = free.pop()
            except IndexError:
                one = _Sized(self._make(), self._shapes)
            try:
                interpreter, shapes = one.interpreter, one.shapes
                if any(value.shape != shapes[name] for name, value in inputs.items()):
                    self._fit(one, inputs)
                for name, value in inputs.items():
                    interpreter.set_tensor(self._input_at[name], value)
                interpreter.invoke()
                return {name: interpreter.get_tensor(at) for name, at in self._output_at.items()}
            finally:
                free.append(one)
        except Exception as error:  # as in load
            raise _failed(error) from error

    def _fit(self, one: _Sized, inputs: Mapping[str, Array]) -> None:
        """Allocate for another batch, where the file leaves it free."""
        shapes = {name: value.shape for name, value in inputs.items()}
        one.shapes = dict.fromkeys(shapes, ())  # whatever fails below, the next call fits again
        for name, shape in shapes.items():
            one.interpreter.resize_tensor_input(self._input_at[name], shape, strict=True)
        one.interpreter.allocate_tensors()
        one.shapes = shapes

    def close(self) -> None:
        self._free = None


class _OneToOne(_LiteRtSession):
    """The same for one input and one output: small models run in microseconds, and each lookup shows.

    Asks the native object itself: what Python adds to a call, a look for views into its memory that are never made
    here, costs half a microsecond a run. A version without these three names gets the plain session.
    """

    @staticmethod
    def fits(interpreter: Any) -> bool:
        """Whether an interpreter can be run so."""
        native = getattr(interpreter, "_interpreter", None)
        asked = all(hasattr(native, name) for name in ("SetTensor", "Invoke", "GetTensor"))
        return asked and len(interpreter.get_input_details()) == len(interpreter.get_output_details()) == 1

    def __init__(self, make: Callable[[], Any], first: Any) -> None:
        super().__init__(make, first)
        ((self._name, self._at),) = self._input_at.items()
        ((self._output, self._taken),) = self._output_at.items()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if inputs.keys() != {self._name}:
            return super().run(inputs)
        return {self._output: self.run_one(inputs[self._name])}

    def run_one(self, value: Array) -> Array:
        """Run the one input and return the one output; raises as `run` does."""
        free = self._free
        if not free:
            return super().run({self._name: value})[self._output]
        try:
            one = free.pop()
        except IndexError:  # another thread was faster
            return super().run({self._name: value})[self._output]
        try:
            if value.shape != one.shapes[self._name]:
                self._fit(one, {self._name: value})
            native = one.interpreter._interpreter
            native.SetTensor(self._at, value)
            native.Invoke()
            given: Array = native.GetTensor(self._taken, 0)
            return given
        except Exception as error:  # as in load
            raise _failed(error) from error
        finally:
            free.append(one)


class _Sized:
    """An interpreter, and the shapes of its inputs that it is allocated for."""

    __slots__ = ("interpreter", "shapes")

    def __init__(self, interpreter: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.interpreter, self.shapes = interpreter, shapes


def _failed(error: Exception) -> EngineRunError:
    return EngineRunError(f"litert failed ({error})", next_step="run `edgeinfer verify`")


def _tensor(details: Mapping[str, Any]) -> TensorInfo:
    scale, zero_point = details["quantization"]
    signature = details.get("shape_signature", details["shape"])
    return TensorInfo(
        details["name"],
        np.dtype(details["dtype"]).name,
        tuple(None if length < 0 else int(length) for length in signature),
        Quantization(float(scale), int(zero_point)) if scale else None,
    )


def _with_free_batch(tensor: TensorInfo) -> TensorInfo:
    return replace(tensor, shape=(None, *tensor.shape[1:]))


def _import() -> tuple[str, Any]:
    reasons = []
    for package, module in _HOMES:
        try:
            return package, imported(module).Interpreter
        except (ImportError, AttributeError) as error:
            reasons.append(f"{package}: {error}")
    raise EngineUnavailable(
        "engine litert is not usable (" + "; ".join(reasons) + ")",
        next_step="pip install 'edgeinfer[tflite]', or 'edgeinfer[tflite-legacy]' in an old environment",
    )


def _version(package: str) -> str:
    names = (package, f"{package}-cpu", f"{package}-macos", f"{package}-intel")
    found = versions_of(names)
    return next((found[name] for name in names if name in found), "unknown")
