"""A small valid bundle: grey 4 x 4 pictures, two classes, two variants, golden inputs and a picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from edgeinfer.bundle import (
    Binding,
    BlobSet,
    Budgets,
    Calibration,
    Cascade,
    CascadePoint,
    Cloud,
    CloudInput,
    CloudOutput,
    Confusion,
    Decode,
    Document,
    DriftReference,
    Feature,
    Golden,
    Input,
    InputStatistic,
    Layout,
    Lineage,
    Manifest,
    Normalize,
    Output,
    PredictedClass,
    Projection,
    Proportion,
    Resize,
    Scale,
    Softmax,
    StripMetadata,
    TensorBlob,
    Tolerance,
    TopConfidence,
    TopK,
    Variant,
    steps_digest,
    write_bundle,
)
from edgeinfer.engines.seam import Array
from edgeinfer.testing.engine import mean_logits

SAMPLE_LABELS = ("light", "dark")
_STEPS = (
    Decode("L"),
    Resize(4, 4, "squash", "box"),
    Scale(1 / 255),
    Normalize((0.5,), (0.5,)),
    Layout("CHW"),
)


def sample_manifest(blobs: BlobSet) -> Manifest:
    """Return a manifest that uses every kind of field, and put its content into `blobs`."""
    values = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4)
    grey = np.full((4, 4), 255, np.uint8)
    values[0] = 1.0
    stored = _tensor(values, blobs)
    golden_output = _tensor(mean_logits(values), blobs)
    accuracy = Proportion(0.9, 0.8, 0.95, 100, "test")
    share = Proportion(0.88, 0.76, 0.94, 50, "validation")
    variants = tuple(
        Variant(
            id=f"fake-{precision}",
            format="onnx",
            precision=precision,
            blob=blobs.add(f"a {precision} model".encode()),
            inputs={"image": Binding("image", "float32", ("batch", 1, 4, 4))},
            outputs={"logits": Binding("logits", "float32", ("batch", 2))},
            requires={"fake-engine": "1.0"},
            opset=17,
            golden_outputs={"logits": golden_output},
            tolerances={"fake": Tolerance(1e-5, 0.0)},
            accuracy=accuracy,
        )
        for precision in _precisions()
    )
    return Manifest(
        name="sample",
        version="1",
        task="image-classification",
        licence="CC0-1.0",
        intended_use="Tests.",
        inputs=(Input("image", "float32", ("batch", 1, 4, 4), _STEPS, steps_digest(_STEPS)),),
        outputs=(
            Output(
                "logits", "float32", ("batch", 2), labels=SAMPLE_LABELS, postprocess=(Softmax(0.5), TopK(2))
            ),
        ),
        variants=variants,
        golden=Golden("synthetic", {"image": stored}, {"image": (blobs.add(_png(grey)),)}),
        calibration=Calibration("temperature", "validation", 50, 0.3, 0.2, 0.1, 0.05),
        drift=_drift(),
        confusion=Confusion(
            "validation", 50, "fake-int8", _confusion(blobs), {"light": share, "dark": share}
        ),
        cascade=Cascade(
            split="validation",
            n=50,
            variant="fake-int8",
            student_accuracy=share,
            teacher_accuracy=share,
            points=(CascadePoint(0.5, share, share, share), CascadePoint(0.9, share, share)),
            recommended=0.9,
            rule="a sample",
        ),
        cloud=Cloud(
            model="sample",
            inputs={"image": CloudInput("x")},
            outputs={"logits": CloudOutput("y", ("dark", "light"))},
            reduce=(StripMetadata(),),
        ),
        budgets=Budgets(p99_ms=1000.0, load_ms=60_000.0, memory_bytes=2**30),
        lineage=Lineage(
            "1" * 64, "2" * 64, {"train": 7, "validation": 2, "test": 1}, "3" * 64, 0, {"numpy": "2"}
        ),
        documents={"report.md": Document(blobs.add(b"# sample\n"), "text/markdown")},
    )


def _drift() -> DriftReference:
    brightness, first = InputStatistic("image", "mean"), InputStatistic("image", "element", index=0)
    return DriftReference(
        "validation",
        50,
        "fake-int8",
        (
            Feature("image.brightness", brightness, (20, 20, 10), edges=(-0.25, 0.25)),
            Feature("image.first", first, (25, 25), edges=(0.0,)),
            Feature("predicted_class", PredictedClass(), (30, 20), groups=(0, 1)),
            Feature("confidence", TopConfidence(), (10, 40), edges=(0.75,)),
            Feature("logits.0", Projection("logits", (0.6, -0.8)), (26, 24), edges=(0.1,)),
        ),
    )


def _confusion(blobs: BlobSet) -> TensorBlob:
    return TensorBlob(blobs.add(np.array([[24, 1], [5, 20]], "<i4").tobytes()), "int32", (2, 2))


def write_sample_bundle(path: str | Path, form: Literal["file", "folder"] = "file") -> Path:
    """Write the sample bundle and return its path."""
    path = Path(path)
    blobs = BlobSet()
    write_bundle(path, sample_manifest(blobs), blobs, form=form)
    return path


def _precisions() -> tuple[Literal["int8"], Literal["fp32"]]:
    return ("int8", "fp32")


def _tensor(values: Array, blobs: BlobSet) -> TensorBlob:
    return TensorBlob(blobs.add(values.astype("<f4").tobytes()), "float32", values.shape)


def _png(pixels: Array) -> bytes:
    """Encode grey pixels (PNG, ISO/IEC 15948), so that this room needs no Pillow."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
