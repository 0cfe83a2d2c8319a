"""The CIFAR-10 student beside a ResNet8 made and measured in the same run: `make bench`.

The ResNet8 is the catalogue's, exported, quantized and slimmed in the same way; its weights are
untrained, which changes neither size nor time. Both are timed in turns, one thread, batch 1, in processes of
their own, and the smallest median of each counts: other work on the machine only adds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from device_tests.benchmarks.models import MODELS, resnet8
from edgeinfer.bundle import open_bundle
from edgeinfer.inference import measure

RESULTS = Path("build/students.json")
ROUNDS, SECONDS = 7, 0.4
RUNS = (("tflite-int8", "litert"), ("onnx-int8", "onnxruntime"))


@dataclass(frozen=True)
class Row:
    """One variant: bytes, accuracy in the manifest, microseconds a run, and times a ResNet8's LiteRT int8."""

    model: str
    variant: str
    bytes: int
    accuracy: float | None
    p50_us: float
    ratio: float


def rows(bundles: dict[str, Path]) -> list[Row]:
    """Time both variants of every bundle in turns; the first bundle's LiteRT file is what others are held against."""
    times: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for name, path in bundles.items():
            for variant, engine in RUNS:
                taken = measure(path, variant, engine, seconds=SECONDS).p50_us
                times[name, variant] = min(taken, times.get((name, variant), taken))
    base = times[next(iter(bundles)), RUNS[0][0]]
    made = []
    for name, path in bundles.items():
        with open_bundle(path) as bundle:
            variants = {each.id: each for each in bundle.manifest.variants}
        for variant, _ in RUNS:
            known, taken = variants[variant], times[name, variant]
            accuracy = known.accuracy.value if known.accuracy else None
            made.append(Row(name, variant, known.blob.size, accuracy, taken, taken / base))
    return made


def main() -> None:
    """Print the table and keep it as JSON."""
    student = MODELS / "cifar10.eib"
    if not student.is_file():
        sys.exit(f"{student} is not there")
    with tempfile.TemporaryDirectory() as folder:
        found = rows({"resnet8": resnet8(Path(folder)), "cifar10": student})
    print(f"{'model':10}{'variant':13}{'bytes':>8}{'accuracy':>10}{'one run':>10}{'ratio':>8}")
    for row in found:
        accuracy = "untrained" if row.accuracy is None else f"{row.accuracy:.1%}"
        print(
            f"{row.model:10}{row.variant:13}{row.bytes:8,}{accuracy:>10}{row.p50_us:7.1f} us{row.ratio:8.2f}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(row) for row in found], indent=2))


if __name__ == "__main__":
    main()
