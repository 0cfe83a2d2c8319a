"""ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.engines.onnx_binding import OneItem, shapes_of_one
from edgeinfer.engines.onnx_cache import kept_session
from edgeinfer.engines.seam import Array, EngineInfo, Session, SessionOptions, TensorInfo
from edgeinfer.errors import EngineRunError, EngineUnavailable, ModelLoadError
from edgeinfer.importing import imported

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}

_CPUINFO = "/proc/cpuinfo"
_EXACT = "session.x64quantprecision"
_PLACEMENT = "session.record_ep_graph_assignment_info"
_CPU = "CPUExecutionProvider"
# It sends inputs to a service; where answers are computed is not this engine's choice.
_REMOTE = "AzureExecutionProvider"
_VNNI = frozenset({"avx512_vnni", "avx_vnni"})


class OnnxRuntime:
    """Runs `onnx` variants on the CPU provider.

    Its builds for accelerators carry other distribution names but the same version numbers, so that
    `requires` names `onnxruntime` for all of them.
    """

    name = "onnxruntime"
    formats = frozenset({"onnx"})

    def info(self) -> EngineInfo:
        """Say which version is here."""
        runtime = _import()
        there = [each for each in runtime.get_available_providers() if each not in (_CPU, _REMOTE)]
        return EngineInfo(self.name, "onnxruntime", runtime.__version__, (_CPU, *there))

    def load(self, model: bytes, options: SessionOptions) -> Session:
        """Load an ONNX file; all of it runs on the provider, or on the provider and the CPU, which `provider` tells."""
        runtime = _import()
        provider = options.provider or _CPU
        if provider not in self.info().accelerators:
            raise EngineUnavailable(
                f"onnxruntime {runtime.__version__} has no such provider here",
                found=provider,
                expected=" or ".join(self.info().accelerators),
                next_step="install the build of onnxruntime for it",
            )
        inexact_here = provider == _CPU and not _has_vnni()

        def make(data: bytes, write_to: str | None = None, optimized: bool = False) -> Any:
            def session(exact: bool | None) -> Any:
                settings = _settings(runtime, options.threads, (write_to, optimized), exact)
                if provider != _CPU:
                    settings.add_session_config_entry(_PLACEMENT, "1")
                return runtime.InferenceSession(
                    data, settings, providers=list(dict.fromkeys((provider, _CPU)))
                )

            if not inexact_here:
                return session(None)
            with suppress(Exception):  # as below
                return session(True)
            return session(False)

        try:
            if options.cache is None or provider != _CPU:
                session = make(model)
            else:
                how = f"{runtime.__version__} {inexact_here} {options.threads}"
                session = kept_session(options.cache, model, how, make)
        except Exception as error:  # its exceptions share no base of their own
            raise ModelLoadError(
                f"onnxruntime {runtime.__version__} cannot load the model ({error})",
                next_step="upgrade onnxruntime, or ship a variant of an older opset",
            ) from error
        kind = _OneToOne if len(session.get_inputs()) == len(session.get_outputs()) == 1 else _OnnxSession
        return kind(session, runtime, _placement(session, provider))


class _OnnxSession:
    def __init__(self, session: Any, runtime: ModuleType, provider: str) -> None:
        self._session = session
        self.provider = provider
        self._quiet = runtime.RunOptions()
        self._quiet.log_severity_level = 4
        self.inputs = _tensors(session.get_inputs())
        self.outputs = _tensors(session.get_outputs())
        self._names = [output.name for output in self.outputs]
        shapes = shapes_of_one(self.inputs, self.outputs) if provider == _CPU else None
        self._one: dict[str, tuple[tuple[int, ...] | None, Any]] = {
            each.name: (shapes[each.name][0], np.dtype(each.dtype)) for each in self.inputs if shapes
        }
        self._free = [OneItem(session, shapes)] if shapes else []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        session = self._session
        if session is None:
            raise EngineRunError("the model is closed", next_step="load it again")
        try:
            if self._fits(inputs):
                return self._run_bound(inputs)
            values = session.run(self._names, inputs, self._quiet)
        except Exception as error:  # as in load
            raise _failed(error) from error
        return dict(zip(self._names, values, strict=True))

    def _fits(self, inputs: Mapping[str, Array]) -> bool:
        """Whether they are those that memory is bound for."""
        for name, (shape, dtype) in self._one.items():
            value = inputs.get(name)
            if value is None or value.shape != shape or value.dtype != dtype:
                return False
        return bool(self._one)

    def _run_bound(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            bound = self._free.pop()
        except IndexError:  # another call is in it
            return dict(zip(self._names, self._session.run(self._names, inputs, self._quiet), strict=True))
        try:
            return bound.run(inputs)
        finally:
            self._free.append(bound)

    def close(self) -> None:
        self._session = None
        self._free.clear()


class _OneToOne(_OnnxSession):
    """The same for one input and one output: dicts and loops show beside a run of 20 us."""

    def __init__(self, session: Any, runtime: ModuleType, provider: str) -> None:
        super().__init__(session, runtime, provider)
        self._name, self._output = self.inputs[0].name, self._names[0]
        # None where no memory is bound, which no array fits.
        self._shape, self._dtype = self._one.get(self._name, (None, None))

    def run_one(self, value: Array) -> Array:
        """Run the one input and return the one output; raises as `run` does."""
        free = self._free
        if not free or value.shape != self._shape or value.dtype != self._dtype:
            return self.run({self._name: value})[self._output]
        try:
            bound = free.pop()
        except IndexError:  # another thread was faster
            return self.run({self._name: value})[self._output]
        try:
            return bound.run_one(value)
        except Exception as error:  # as in load
            raise _failed(error) from error
        finally:
            free.append(bound)


def _failed(error: Exception) -> EngineRunError:
    return EngineRunError(f"onnxruntime failed ({error})", next_step="run `edgeinfer verify`")


def _tensors(values: list[Any]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(each.name, _DTYPES.get(each.type, each.type), tuple(each.shape)) for each in values
    )


def _settings(runtime: ModuleType, threads: int, kept: tuple[str | None, bool], exact: bool | None) -> Any:
    """Return a session's options.

    Without VNNI x86 sums products of uint8 and int8 in pairs that saturate at 16 bits. `exact` turns int8 weights to
    uint8, whose kernels are exact; where VNNI is they are twice as slow, so not there. Some files do not load with it,
    such as those whose layers share a zero point: they load without, and their golden outputs tell whether they may
    answer.
    """
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    # Spinning keeps a core busy between calls to save microseconds within them.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if exact is not None:
        settings.add_session_config_entry(_EXACT, str(int(exact)))
    write_to, optimized = kept
    if write_to is not None:
        settings.optimized_model_filepath = write_to
    if optimized:
        settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return settings


def _placement(session: Any, provider: str) -> str:
    """Return what a session really computes on.

    Raises:
        EngineUnavailable: The provider took nothing: without this the CPU would stand in for it silently.
    """
    if provider == _CPU:
        return _CPU
    if session.get_providers()[0] != provider:
        raise EngineUnavailable(
            f"{provider} could not be started", next_step="check its driver and libraries, or use the CPU"
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return f"{provider}, this version does not tell for how much of the model"
    nodes = Counter[str]()
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    if not nodes[provider]:
        raise EngineUnavailable(
            f"{provider} runs no layer of this model: the CPU would run all of it",
            next_step="use another variant, or the CPU",
        )
    if len(nodes) == 1:
        return provider
    return ", ".join(f"{name} {count} of {nodes.total()} nodes" for name, count in nodes.most_common())


def _has_vnni() -> bool:
    """Whether Linux says that this processor sums products of bytes exactly; elsewhere it is not known."""
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            told = file.read()
    except OSError:
        return False
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    return not _VNNI.isdisjoint(flags)


def _import() -> ModuleType:
    try:
        onnxruntime = imported("onnxruntime")
    except ImportError as error:
        raise EngineUnavailable(
            f"engine onnxruntime is not usable ({error})", next_step="pip install 'edgeinfer[onnx]'"
        ) from error
    # Nothing leaves a device unasked; builds for Windows would report usage otherwise.
    onnxruntime.disable_telemetry_events()
    return onnxruntime
