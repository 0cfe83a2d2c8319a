"""The model files of a conversion, as data: a folder of them and the list that later steps read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from converters.json_file import load_json, save_json
from converters.recipe import IntegerTypes
from edgeinfer.bundle import Precision

# Names of artifacts between steps: folders that hold the same model files and `artifacts.json`. The
# quantize step's keep their layers' names, for whoever looks inside; the slim step's are those that ship.
NAMED_MODELS = "named-models"
MODELS = "models"
_LIST = "artifacts.json"

LayerPrecision = Literal["int8", "float"]


@dataclass(frozen=True)
class Artifact:
    """One model file of a conversion.

    Attributes:
        id: Variant id in the bundle.
        file: Its name in the folder.
        format: File format.
        precision: Arithmetic of the bulk of its layers; `mixed` where some are kept in float on purpose.
        engine: Name of the engine that runs it.
        method: How it was quantized; None for a float file.
        types: Integer types of an ONNX file, activations before weights.
        layers: What each of the student's layers was seen to compute in, by layer, read from what the
            engine executes and not from what was asked for; empty where nothing was quantized.
    """

    id: str
    file: str
    format: Literal["onnx", "tflite"]
    precision: Precision
    engine: str
    method: Literal["static", "qat", "dynamic", "weight-only"] | None = None
    types: IntegerTypes | None = None
    layers: Mapping[str, LayerPrecision] = field(default_factory=dict)

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Layers that compute in float in a file that is quantized."""
        return tuple(layer for layer, precision in self.layers.items() if precision == "float")


@dataclass(frozen=True)
class Artifacts:
    """What `artifacts.json` holds, in the order in which a device should try them."""

    artifacts: tuple[Artifact, ...]


def write_artifacts(folder: Path, artifacts: Sequence[Artifact]) -> None:
    """Write the list beside the model files; every one of them must lie there."""
    missing = [each.file for each in artifacts if not (folder / each.file).is_file()]
    assert not missing, f"{folder} lacks {missing}"
    save_json(Artifacts(tuple(artifacts)), folder / _LIST)


def load_artifacts(folder: Path) -> tuple[Artifact, ...]:
    """Return the list of a folder of model files."""
    return load_json(Artifacts, folder / _LIST).artifacts


def static_pairs(artifacts: Sequence[Artifact]) -> list[tuple[Artifact, Artifact]]:
    """Return each (ONNX, TFLite) pair quantized by one method from one set of ranges: those that must agree."""
    return [
        (one, other)
        for one in artifacts
        for other in artifacts
        if (one.format, other.format) == ("onnx", "tflite")
        and one.method == other.method
        and one.method in ("static", "qat")
    ]
