"""A small valid bundle of a detector, and an engine that answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgeinfer.bundle import (
    Binding,
    BlobSet,
    Boxes,
    Decode,
    Input,
    Layout,
    Manifest,
    NonMaximumSuppression,
    Output,
    PriorLevel,
    Resize,
    Scale,
    ScoreThreshold,
    SsdBoxes,
    steps_digest,
    write_bundle,
)
from edgeinfer.engines import Session, SessionOptions, TensorInfo
from edgeinfer.engines.seam import Array
from edgeinfer.testing.engine import FakeEngine
from edgeinfer.testing.samples import sample_manifest

SAMPLE_THINGS = ("nothing", "cup", "spoon")
_HEIGHT, _WIDTH, _BOXES = 20, 40, 8
_STEPS = (Decode("L"), Resize(_HEIGHT, _WIDTH, "letterbox", "box"), Scale(1 / 255), Layout("CHW"))
_SUPPRESSION = NonMaximumSuppression(0.5, k=10)


def sample_detector(blobs: BlobSet, *, ssd: bool = False) -> Manifest:
    """Return a manifest whose first output holds scores of eight boxes, and put its content into `blobs`.

    Args:
        blobs: Receives the content.
        ssd: Whether boxes are offsets from priors (2 x 4 cells), or shares of the input.
    """
    boxes = SsdBoxes("boxes", (PriorLevel(2, 4, ((10.0, 8.0),)),)) if ssd else Boxes("boxes")
    sample = sample_manifest(blobs)
    inputs = {"image": Binding("image", "float32", ("batch", 1, _HEIGHT, _WIDTH))}
    outputs = {
        "scores": Binding("scores", "float32", ("batch", _BOXES, 3)),
        "boxes": Binding("boxes", "float32", ("batch", _BOXES, 4)),
    }
    return replace(
        sample,
        name="sample-detector",
        task="object-detection",
        inputs=(Input("image", "float32", ("batch", 1, _HEIGHT, _WIDTH), _STEPS, steps_digest(_STEPS)),),
        outputs=(
            Output(
                "scores",
                "float32",
                ("batch", _BOXES, 3),
                SAMPLE_THINGS,
                (boxes, ScoreThreshold(0.5, background=0), _SUPPRESSION),
            ),
            Output("boxes", "float32", ("batch", _BOXES, 4)),
        ),
        variants=tuple(
            replace(each, inputs=inputs, outputs=outputs, golden_outputs={}) for each in sample.variants
        ),
        golden=None,
        calibration=None,
        drift=None,
        confusion=None,
        cascade=None,
        cloud=None,
    )


def write_sample_detector(path: str | Path, *, ssd: bool = False) -> Path:
    """Write the sample detector's bundle and return its path."""
    path, blobs = Path(path), BlobSet()
    write_bundle(path, sample_detector(blobs, ssd=ssd), blobs)
    return path


@dataclass
class FakeDetector(FakeEngine):
    """An engine that finds the same in every picture.

    Attributes:
        scores: `(8, 3) float32`.
        boxes: `(8, 4) float32`.
    """

    scores: Array = field(default_factory=lambda: np.zeros((_BOXES, 3), np.float32))
    boxes: Array = field(default_factory=lambda: np.zeros((_BOXES, 4), np.float32))

    def load(self, model: bytes, options: SessionOptions) -> Session:  # noqa: ARG002
        """Load nothing."""
        return _DetectorSession(self)


class _DetectorSession:
    provider = "memory"
    inputs = (TensorInfo("image", "float32", (None, 1, _HEIGHT, _WIDTH)),)
    # As TFLite files have it whose shapes are computed when they run.
    outputs = (
        TensorInfo("scores", "float32", (None, None, 3)),
        TensorInfo("boxes", "float32", (None, None, 4)),
    )

    def __init__(self, engine: FakeDetector) -> None:
        self._engine = engine

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        count = len(inputs["image"])
        given = {"scores": self._engine.scores, "boxes": self._engine.boxes}
        return {name: np.repeat(value[None], count, axis=0) for name, value in given.items()}

    def close(self) -> None:
        pass
