"""The engines there are, imported when asked for."""

from __future__ import annotations

import functools
from typing import cast

from edgeinfer.engines.seam import Engine
from edgeinfer.errors import EngineUnavailable
from edgeinfer.importing import imported

# In order of preference where nothing else decides.
_ENGINES = {
    "litert": "edgeinfer.engines.litert:LiteRt",
    "onnxruntime": "edgeinfer.engines.onnx_runtime:OnnxRuntime",
}
ENGINE_NAMES = tuple(_ENGINES)


@functools.cache
def engine_named(name: str) -> Engine:
    """Return an engine of the catalog; it may still turn out not to be installed.

    Raises:
        EngineUnavailable: There is no engine of this name.
    """
    if name not in _ENGINES:
        raise EngineUnavailable(
            "unknown engine", found=repr(name), expected=" or ".join(ENGINE_NAMES), next_step="check the name"
        )
    module, _, kind = _ENGINES[name].partition(":")
    return cast("Engine", getattr(imported(module), kind)())
