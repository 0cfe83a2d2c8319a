"""The engines there are, imported when asked for."""

from __future__ import annotations

import functools
from typing import cast

from edgeinfer.engines.seam import Engine, EngineInfo, Session, SessionOptions
from edgeinfer.errors import EngineUnavailable
from edgeinfer.importing import imported


class _OnDemand:
    """An engine whose module is imported when it is first asked for something: most programs need one of them."""

    def __init__(self, name: str, file_format: str, home: str) -> None:
        self.name, self.formats = name, frozenset({file_format})
        self._home = home

    def info(self) -> EngineInfo:
        return self._engine.info()

    def load(self, model: bytes, options: SessionOptions) -> Session:
        return self._engine.load(model, options)

    @functools.cached_property
    def _engine(self) -> Engine:
        module, _, kind = self._home.partition(":")
        return cast("Engine", getattr(imported(module), kind)())


# In order of preference where nothing else decides.
_ENGINES = {
    each.name: each
    for each in (
        _OnDemand("litert", "tflite", "edgeinfer.engines.litert:LiteRt"),
        _OnDemand("onnxruntime", "onnx", "edgeinfer.engines.onnx_runtime:OnnxRuntime"),
    )
}
ENGINE_NAMES = tuple(_ENGINES)


def engine_named(name: str) -> Engine:
    """Return an engine of the catalog; it may still turn out not to be installed.

    Raises:
        EngineUnavailable: There is no engine of this name.
    """
    if name not in _ENGINES:
        raise EngineUnavailable(
            "unknown engine", found=repr(name), expected=" or ".join(ENGINE_NAMES), next_step="check the name"
        )
    return _ENGINES[name]
