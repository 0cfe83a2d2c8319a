"""Checked by mypy in strict mode, never run: the public names keep their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

# The runtime.
ei.configure(threads=2, cache=Path("cache"))
busy = ei.load(
    "digits.eib",
    wishes=ei.Wishes(provider="cpu", max_memory_bytes=10**8, avoid=("fp16",)),
    measure=False,
    isolate=True,
    traffic=ei.Traffic(
        max_batch=8, max_delay_ms=1.0, shed_to="onnx-int8", shedding=ei.Shedding(max_queue_ms=10)
    ),
    on_prediction=lambda answer: assert_type(answer, ei.Prediction),
    on_health=lambda health: assert_type(health, ei.Health),
)
assert_type(busy.health, ei.Health)
assert_type(busy.health.alarms, tuple[ei.Alarm, ...])
assert_type(busy.health.p99_ms, float | None)
assert_type(busy.predict("seven.png", deadline_ms=20), ei.Prediction)
assert_type(busy.selection.chosen.p50_us, float | None)
together = ei.Ensemble([model, busy], combine="vote", best=0)
assert_type(together.predict("seven.png", deadline_ms=20), ei.Prediction)


async def later() -> None:
    """Awaited answers have their types too."""
    assert_type(await busy.apredict("seven.png", deadline_ms=20), ei.Prediction)
    assert_type(await together.apredict("seven.png"), ei.Prediction)


for heard in ei.listen(model, [np.zeros(800, np.int16)], rate=8000, hop_s=0.5, smooth=2):
    assert_type(heard, ei.Heard)
    assert_type(heard.label, str)
for frame in ei.LatestFrames([np.zeros((8, 8), np.uint8)]):
    assert_type(model.predict(frame).label, str | None)

# Device and cloud.
home = ei.Home(Path("home"))
consents = ei.Consents(home)
assert_type(consents.allows("cloud_inference"), bool)
predictor = ei.Predictor(
    model,
    ei.Endpoint("https://cloud.example", headers=lambda: {"authorization": "Bearer"}),
    policy=ei.Policy(mode="prefer_on_device", cache=ei.CacheLimits(), queue=ei.QueueLimits()),
    home=home,
    key=bytes(32),
    on_decision=lambda decided: decided.route.reason.upper(),
    on_deferred=lambda later: later.prediction.label,
)
assert_type(predictor.predict("seven.png", deadline_ms=100, mode="only_on_device"), ei.Prediction)
assert_type(predictor.predict("seven.png").attempts, tuple[ei.Attempt, ...])
assert_type(predictor.drain(), int)
assert_type(predictor.policy, ei.Policy)
predictor.tighten(ei.RemotePolicy(mode="only_on_device"))
assert_type(ei.load_policy("policy.toml"), ei.Policy)


async def elsewhere() -> None:
    assert_type(await predictor.apredict("seven.png"), ei.Prediction)


# Feature flags.
flags = ei.Flags({"targetingKey": "device-1"}, source=ei.FileSource("flags.json"), home=home)
assert_type(flags.value(ei.Flag("cloud", default=False)), bool)
assert_type(flags.value(ei.Flag("share", default=0.5)), float)
assert_type(flags.details(ei.Flag("digest", default="")), ei.FlagDetails[str])
assert_type(flags.session().value(ei.Flag("most", default=3)), int)

# A device.
device = ei.Device(
    "home",
    "https://updates.example.org",
    b"root",
    {"digits": "digits.eib"},
    context={"app": "2.1.0"},
    settings=ei.DeviceSettings(every_s=3600, conditions=ei.Conditions(charging=True), stay_put=True),
)
assert_type(device.model("digits"), ei.DevicePredictor)
assert_type(device.model("digits").predict("seven.png", deadline_ms=100), ei.Prediction)
assert_type(device.model("digits").model, ei.Model)
assert_type(device.update(), ei.UpdateReport)
assert_type(device.status().models, Mapping[str, ei.ModelStatus])
assert_type(device.flags, ei.Flags)
