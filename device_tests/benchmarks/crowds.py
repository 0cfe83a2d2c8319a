"""Many callers at once: throughput beside a call each, a lone caller's delay, and a step of load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

import edgeinfer as ei
from device_tests.benchmarks.compare import Call, Row, in_turns, spread
from device_tests.benchmarks.engines import files
from device_tests.benchmarks.models import MODELS, mlp, resnet8

_CALLERS, _SECONDS, _ROUNDS = 64, 1.0, 15
_LONE_CALLS, _LONE_ROUNDS = 600, 9


class Crowd:
    """Threads that call one after another until they are told to stop.

    Attributes:
        times: Start and duration of each call in seconds, in no order.
        errors: What was raised.
    """

    def __init__(self, call: Call, callers: int) -> None:
        self.times: list[tuple[float, float]] = []
        self.errors: list[Exception] = []
        self._call, self._stop = call, threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(callers)]

    def run(self, seconds: float) -> float:
        """Let them call for a while; return calls a second, from when all have begun until they are told to stop."""
        for each in self._threads:
            each.start()
        begun = time.perf_counter()
        self._stop.wait(seconds)
        ended = time.perf_counter()
        self._stop.set()
        for each in self._threads:
            each.join(60)
        return sum(begun <= start + taken <= ended for start, taken in self.times) / (ended - begun)

    def _work(self) -> None:
        own = []
        try:
            while not self._stop.is_set():
                start = time.perf_counter()
                self._call()
                own.append((start, time.perf_counter() - start))
        except Exception as error:
            self.errors.append(error)
        self.times.extend(own)


def rows(folder: Path) -> Iterator[Row]:
    """Measure a model bound by its weights, one that gains nothing, and the step."""
    data = mlp(folder / "mlp.eib")
    given = {"x": np.random.default_rng(0).standard_normal((1, 2048)).astype(np.float32)}
    model, bare = ei.load(folder / "mlp.eib"), shared(data, given)
    gain = model.selection.batch_gain
    note = "" if gain is None else f"an item in a batch was measured at {gain:.2f} of one alone"
    yield throughput("64 callers, MLP 2048-2048-2048", lambda: model.run(given), bare, 3.0, note)
    yield lone("p99 of a lone caller, same MLP", lambda: model.run(given), bare)
    bundle = resnet8(folder)
    picture = {"input": np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)}
    small = ei.load(bundle, variant="onnx-int8")
    other = shared(files(bundle)["onnx-int8"], picture)
    yield throughput("64 callers, ResNet8 int8", lambda: small.run(picture), other, 0.95, "")
    yield from step()


def shared(model: bytes, inputs: dict[str, np.ndarray]) -> Call:
    """Return a call of one ONNX Runtime session that all callers share, with one thread a call, as ours has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def throughput(what: str, ours: Call, other: Call, budget: float, note: str) -> Row:
    """Compare calls a second, in turns."""
    pairs = [
        (Crowd(ours, _CALLERS).run(_SECONDS), Crowd(other, _CALLERS).run(_SECONDS)) for _ in range(_ROUNDS)
    ]
    figure, low, high = spread([one / another for one, another in pairs])
    told = [f"{spread(each)[0]:,.0f}/s" for each in zip(*pairs, strict=True)]
    return Row(what, told[0], told[1], figure, low, high, "times", budget, least=True, note=note)


def lone(what: str, ours: Call, other: Call) -> Row:
    """Compare the 99th percentile of a caller that is alone; call by call in turns, each first as often."""
    in_turns(ours, other, 3, 50)
    pairs = [_p99s(ours, other) for _ in range(_LONE_ROUNDS)]
    figure, low, high = spread([one / another for one, another in pairs])
    told = [f"{spread(each)[0] * 1e3:.2f} ms" for each in zip(*pairs, strict=True)]
    return Row(what, told[0], told[1], figure, low, high, "times", 1.05)


def step() -> Iterator[Row]:
    """Go from 1 caller to 200 and back to 1."""
    traffic = ei.Traffic(shed_to="tflite-int8")
    model = ei.load(MODELS / "cifar10.eib", variant="onnx-fp32", traffic=traffic)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    reasons: set[str] = set()
    longest, over = [0], threading.Event()

    def call() -> None:
        reasons.add(model.predict(picture).reason)

    def look() -> None:
        while not over.wait(0.05):
            longest[0] = max(longest[0], model.health.in_line)

    before = Crowd(call, 1)
    before.run(2.0)
    reasons.clear()
    crowd, looking = Crowd(call, 200), threading.Thread(target=look, daemon=True)
    looking.start()
    crowd.run(4.0)
    ended = time.perf_counter()
    over.set()
    shed = any(reason.startswith("too many calls") for reason in reasons)
    after = Crowd(call, 1)
    after.run(4.0)
    usual = _percentile([taken for _, taken in before.times], 0.99)
    recovered = _recovered(after.times, ended, usual)
    errors = len(crowd.errors) + len(before.errors) + len(after.errors)
    note = (
        f"{errors} errors, at most {longest[0]} calls in line, "
        f"{'answers said that load was shed' if shed else 'NO answer was shed'}; p99 alone {usual * 1e3:.2f} ms, "
        f"in the crowd {_percentile([taken for _, taken in crowd.times], 0.99) * 1e3:.0f} ms"
    )
    figure = recovered if shed and not errors else float("inf")
    yield Row(
        "1 to 200 callers and back: p99 is as before after",
        f"{recovered:.2f} s",
        "",
        figure,
        figure,
        figure,
        "s",
        2.0,
        note=note,
    )


def _recovered(times: Sequence[tuple[float, float]], ended: float, usual: float) -> float:
    """Return the seconds until the 99th percentile over half a second is within one and a half of the usual one."""
    for at in range(8):
        window = [taken for start, taken in times if at / 2 <= start - ended < (at + 1) / 2]
        if window and _percentile(window, 0.99) <= 1.5 * usual:
            return (at + 1) / 2
    return float("inf")


def _p99s(first: Call, second: Call) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for at in range(_LONE_CALLS):
        for which in (0, 1) if at % 2 else (1, 0):
            start = time.perf_counter()
            (first, second)[which]()
            times[which].append(time.perf_counter() - start)
    return _percentile(times[0], 0.99), _percentile(times[1], 0.99)


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share))
