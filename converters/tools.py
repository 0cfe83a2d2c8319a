"""Versions of the packages whose code decides what comes out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType

import edgeinfer

_PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "flatbuffers",
    "litert-torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "scikit-learn",
    "scipy",
    "torch",
)


@functools.cache
def tool_versions() -> Mapping[str, str]:
    """Return the version per package, edgeinfer's own among them."""
    versions = {"edgeinfer": edgeinfer.__version__}
    return MappingProxyType(versions | {name: metadata.version(name) for name in _PACKAGES})
