"""Checked by mypy in strict mode, never run: the public names keep their types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np

import edgeinfer as ei
from edgeinfer.engines.seam import Array

model = ei.load(
    Path("digits.eib"), engine="litert", variant=None, precision="int8", threads=2, self_test=True
)
assert_type(model, ei.Model)
prediction = model.predict("seven.png")
assert_type(prediction, ei.Prediction)
assert_type(prediction.label, str | None)
assert_type(prediction.confidence, float | None)
assert_type(prediction.latency_ms, float)
assert_type(prediction.top, tuple[ei.LabelScore, ...])
assert_type(prediction.detections, tuple[ei.Detection, ...] | None)
assert_type(prediction.timings, ei.Timings)
assert_type(model.predict_many([b"", Path("a.png"), np.zeros((8, 8), np.uint8)]), Iterator[ei.Prediction])
assert_type(model.run({"input": np.zeros((1, 1, 8, 8), np.float32)}), dict[str, Array])
assert_type(model.selection, ei.Selection)
with ei.open_bundle("digits.eib") as bundle:
    assert_type(bundle, ei.Bundle)
    assert_type(bundle.manifest, ei.Manifest)
    assert_type(bundle.verify(), int)
