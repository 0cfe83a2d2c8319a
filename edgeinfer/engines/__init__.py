"""Inference engines behind one seam: `Engine.load -> Session.run`."""

from edgeinfer.engines.catalog import ENGINE_NAMES, engine_named
from edgeinfer.engines.seam import Engine, EngineInfo, Session, SessionOptions, TensorInfo

__all__ = ["ENGINE_NAMES", "Engine", "EngineInfo", "Session", "SessionOptions", "TensorInfo", "engine_named"]
