"""The variants of a recipe beside fp32 and static int8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from converters.export.artifacts import Artifact
from converters.quantize.weights import (
    check_linear,
    dynamic_onnx,
    dynamic_tflite,
    half_onnx,
    half_tflite,
    weight_only_onnx,
    weight_only_tflite,
)
from converters.recipe import ModelVariant
from edgeinfer.bundle import Precision


@dataclass(frozen=True)
class _Kind:
    precision: Precision
    method: Literal["dynamic", "weight-only"] | None
    onnx: Callable[[Path, Path], None]
    tflite: Callable[[Path, Path], None]


_KINDS: Mapping[ModelVariant, _Kind] = {
    "dynamic": _Kind("int8-dynamic", "dynamic", dynamic_onnx, dynamic_tflite),
    "weight-only": _Kind("int8-weight-only", "weight-only", weight_only_onnx, weight_only_tflite),
    "fp16": _Kind("fp16", None, half_onnx, half_tflite),
}


def write_further(
    variants: Sequence[ModelVariant], onnx_path: Path, tflite_path: Path, folder: Path
) -> tuple[Artifact, ...]:
    """Write the files of `quantize.variants` that need no ranges, and return them in a fixed order.

    Args:
        variants: What the recipe asks for; `int8`, which needs ranges, is passed over.
        onnx_path: The fp32 ONNX file.
        tflite_path: The fp32 TFLite file.
        folder: Where to.

    Raises:
        ConversionError: One does not suit the network; nothing was written for it.
    """
    artifacts = []
    for name, kind in _KINDS.items():
        if name not in variants:
            continue
        if kind.method is not None:
            check_linear(onnx_path, name)
        kind.tflite(tflite_path, folder / f"{kind.precision}.tflite")
        kind.onnx(onnx_path, folder / f"{kind.precision}.onnx")
        artifacts += [
            Artifact(
                f"tflite-{name}", f"{kind.precision}.tflite", "tflite", kind.precision, "litert", kind.method
            ),
            Artifact(
                f"onnx-{name}", f"{kind.precision}.onnx", "onnx", kind.precision, "onnxruntime", kind.method
            ),
        ]
    return tuple(artifacts)
