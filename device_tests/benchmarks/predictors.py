"""What a predictor costs over the model when the device answers, and what a cascade gains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, Skipped, in_turns, more
from device_tests.benchmarks.models import MODELS
from sample_apps.cloud_endpoint import cascade

_BLOCKS, _CALLS = 40, 200


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Measure both."""
    yield from _overheads(folder)
    yield from _cascade(folder)


def _overheads(folder: Path) -> Iterator[Row]:
    model = ei.load(MODELS / "digits.eib", variant="tflite-int8")
    home = ei.Home(folder / "home")
    ei.Consents(home).give("cloud_inference")
    near = ei.Endpoint("https://cloud.example")
    picture = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    for mode, policy in (
        ("only_on_device", ei.Policy()),
        ("prefer_on_device", ei.Policy(mode="prefer_on_device", threshold=0.0)),
    ):
        predictor = ei.Predictor(model, near, policy=policy, home=home)
        assert predictor.predict(picture).source == "device"
        pairs = in_turns(
            lambda p=predictor: p.predict(picture), lambda: model.predict(picture), _BLOCKS, _CALLS
        )
        yield more(f"Predictor over model.predict, {mode}", pairs, 20)


def _cascade(folder: Path) -> Iterator[Row | Skipped]:
    what = "CIFAR-10, student here, ResNet9 behind MLServer"
    if not cascade.PICTURES.is_file():
        yield Skipped(what, "needs ../shared, real data that is no part of the project")
        return
    try:
        with cascade.serving("mlserver") as url:
            predictor, given = cascade.measured(url, folder / "cascade")
    except SystemExit as error:
        yield Skipped(what, str(error))
        return
    threshold = predictor.policy.threshold
    assert threshold is not None, "the bundle recommends one"
    (line,) = cascade.lines(given, (threshold,), cascade.TEACHER_RIGHT)
    sent, closed = line.sent * 100, line.closed * 100
    alone = sum(each.alone for each in given) / len(given)
    yield Row(f"{what}: handed on", f"{sent:.1f}%", "", sent, sent, sent, "%", 25)
    told = (f"{line.right:.1%}", f"{alone:.1%}")
    yield Row(f"{what}: gap closed", *told, closed, closed, closed, "%", 80, least=True)
