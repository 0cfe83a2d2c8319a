"""What the choice by measurement is worth: beside every candidate, and beside a careful guess."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, block, ratio
from device_tests.benchmarks.engines import bare_onnx, files
from device_tests.benchmarks.models import MODELS

_BLOCKS, _CALLS = 41, 25


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    """Ranges change no time, so that any values do."""

    def __init__(self, name: str) -> None:
        random = np.random.default_rng(0)
        self._items = iter([{name: random.normal(size=(1, 3, 32, 32)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._items, None)


def rows(folder: Path) -> Iterator[Row]:
    """Measure the chosen variant, all others, and ONNX Runtime with int8 QDQ, uint8 activations and int8 weights."""
    bundle = MODELS / "cifar10.eib"
    inputs = {"input": np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)}
    chosen = ei.load(bundle)
    others = {
        (each.variant, each.engine): ei.load(bundle, variant=each.variant, engine=each.engine)
        for each in chosen.selection.candidates
        if each.p50_us is not None
    }
    models = [chosen, *others.values()]
    times = [[block(lambda m=model: m.run(inputs), _CALLS) for model in models] for _ in range(_BLOCKS)]
    best = int(np.argmin(np.median(times, axis=0)[1:])) + 1
    names = list(others)
    note = (
        f"chosen {chosen.selection.chosen.variant}, fastest {names[best - 1][0]}, of {len(names)} candidates"
    )
    pairs = [(each[0], each[best]) for each in times]
    yield ratio("chosen for cifar10.eib, beside the fastest of all", pairs, 1.05, note=note)
    bare = bare_onnx(careful(folder, files(bundle)["onnx-fp32"]), inputs)
    pairs = [(block(lambda: chosen.run(inputs), _CALLS), block(bare, _CALLS)) for _ in range(_BLOCKS)]
    yield ratio("chosen for cifar10.eib, beside ONNX Runtime int8 QDQ U8S8", pairs, 0.6)


def careful(folder: Path, model: bytes) -> bytes:
    """Return an ONNX file as ONNX Runtime's own quantizer makes it with the settings that its guide recommends."""
    plain, small = folder / "plain.onnx", folder / "qdq.onnx"
    plain.write_bytes(model)
    quantize_static(
        plain,
        small,
        _Noise("input"),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return small.read_bytes()
