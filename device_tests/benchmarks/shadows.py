"""What a shadow costs the caller of the model that serves: the median of its calls, with and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgeinfer as ei
from device_tests.benchmarks.compare import Call, Row, ratio
from device_tests.benchmarks.models import MODELS
from edgeinfer.rollout import Shadow, ShadowCandidate

_BLOCKS, _CALLS, _WARM, _WARM_S = 60, 400, 3, 30.0
_SHAPES = {"digits": (8, 8), "cifar10": (32, 32, 3)}


def rows(_folder: Path) -> Iterator[Row]:
    """Measure a small and a larger model, each with its float32 variant in its shadow."""
    for name, shape in _SHAPES.items():
        picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        for sample in (0.1, 1.0):
            yield _costs(name, picture, sample)


def _costs(name: str, picture: np.ndarray, sample: float) -> Row:
    path = MODELS / f"{name}.eib"
    model = ei.load(path, variant="tflite-int8")
    candidate = ShadowCandidate(model.digest, lambda: ei.load(path, variant="onnx-fp32", measure=False))

    def alone() -> None:
        model.predict(picture)

    with Shadow(model, candidate, sample) as shadow:

        def shadowed() -> None:
            prepared = model.prepare(picture)
            shadow.offer(prepared, model.answer(prepared))

        until = time.monotonic() + _WARM_S
        # It rests from loading for longer than from anything else.
        while shadow.report().compared < _WARM and time.monotonic() < until:
            shadowed()
        pairs = [(_p50_us(shadowed), _p50_us(alone)) for _ in range(_BLOCKS)]
        report = shadow.report()
    note = f"{report.compared} compared, {sum(report.dropped.values())} dropped, {sum(report.errors.values())} errors"
    return ratio(f"p50 of predict with a shadow, {name}, sample {sample:g}", pairs, 1.05, note=note)


def _p50_us(call: Call) -> float:
    times = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6
