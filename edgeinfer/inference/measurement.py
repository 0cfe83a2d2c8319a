"""What one variant costs on one engine here, measured in a process of its own.

A fresh process per candidate keeps one candidate's memory and threads out of another's figures,
and survives an engine that crashes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgeinfer.bundle import open_bundle
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EdgeInferError, EngineRunError
from edgeinfer.frozen import frozen
from edgeinfer.host import grown_since, resident_bytes
from edgeinfer.inference.bound import BoundVariant
from edgeinfer.inference.golden import one_item

_TIMEOUT_S = 60.0
_WARM_UP_RUNS = 20


@frozen
class Measurement:
    """Figures of one variant on one engine, batch 1.

    Attributes:
        p50_us: Median time of one run in microseconds, without preprocessing.
        p90_us: 90th percentile.
        p99_us: 99th percentile.
        runs: Runs that were timed.
        load_ms: From the model's bytes to a session, the engine being imported.
        memory_bytes: Growth of resident memory by loading and running, None where not known.
        threads: Threads that one run could use.
    """

    p50_us: float
    p90_us: float
    p99_us: float
    runs: int
    load_ms: float
    memory_bytes: int | None
    threads: int


def measure(path: Path, variant: str, engine: str, *, threads: int = 1, seconds: float = 1.0) -> Measurement:
    """Load and run one variant on one engine in a child process.

    Args:
        path: The bundle.
        variant: Variant id.
        engine: Engine name.
        threads: Threads for the engine.
        seconds: How long to time runs.

    Raises:
        EngineRunError: The child failed, crashed, or took longer than a minute beyond `seconds`.
    """
    import subprocess  # takes milliseconds to import, and a start whose choice is remembered does without

    arguments = json.dumps([str(path), variant, engine, threads, seconds])
    # The interpreter running now, on a module of this package: nothing of a caller reaches a shell.
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-m", "edgeinfer.inference.measurement", arguments],
            capture_output=True,
            timeout=_TIMEOUT_S + seconds,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    except OSError as error:
        raise EngineRunError(f"cannot start a process to measure in ({error})") from error
    except subprocess.TimeoutExpired:
        raise EngineRunError(
            f"measuring {variant} on {engine}",
            found="no result",
            expected=f"one in {_TIMEOUT_S + seconds:.0f} s",
        ) from None
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise EngineRunError(f"measuring {variant} on {engine} failed (exit {done.returncode}: {last[0]})")
    try:
        return Measurement(**json.loads(lines[-1]))
    except (ValueError, TypeError) as error:
        raise EngineRunError(f"measuring {variant} on {engine} gave no figures ({lines[-1][:80]})") from error


def _measure_here(path: Path, variant_id: str, engine_name: str, threads: int, seconds: float) -> Measurement:
    engine = engine_named(engine_name)
    engine.info()
    with open_bundle(path) as bundle:
        variant = next(each for each in bundle.manifest.variants if each.id == variant_id)
        model = bundle.read(variant.blob)
        inputs = one_item(bundle)
        before = resident_bytes()
        start = time.perf_counter()
        session = engine.load(model, SessionOptions(threads))
        load_ms = (time.perf_counter() - start) * 1e3
        bound = BoundVariant(variant, bundle.manifest, session)
    times = _time_runs(bound, inputs, seconds)
    growth = grown_since(before)
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    return Measurement(p50, p90, p99, len(times), load_ms, growth, threads)


def _time_runs(bound: BoundVariant, inputs: dict[str, Array], seconds: float) -> list[float]:
    for _ in range(_WARM_UP_RUNS):
        bound.run(inputs, 1)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        bound.run(inputs, 1)
        times.append((time.perf_counter() - start) * 1e6)
    return times


if __name__ == "__main__":
    path_, *rest = json.loads(sys.argv[1])
    try:
        print(json.dumps(asdict(_measure_here(Path(path_), *rest))))  # noqa: T201 - the answer to the parent
    except EdgeInferError as error_:
        sys.exit(str(error_))
