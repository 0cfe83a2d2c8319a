"""The measure step: how long one run of each variant takes here, and how much memory it needs.

Its figures depend on the machine and what else it does, so they stand in a file of their own, beside
those that the same recipe always gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.export.artifacts import MODELS, Artifact, load_artifacts
from converters.json_file import load_json, save_json
from converters.steps import Context, Step
from edgeinfer.bundle import Latency
from edgeinfer.engines import engine_named
from edgeinfer.host import processor
from edgeinfer.inference import Measurement, measure

# A shared machine is busy in bursts. All variants are timed in turn, several times, each time in a
# process of its own, and the best median of a variant is its figure: other work only ever adds.
_ROUNDS = 3
_SECONDS = 0.2


@dataclass(frozen=True)
class Timing:
    """What one variant costs here.

    Attributes:
        id: Variant id.
        latency: Time of one run: the smallest median of several short series.
        highest_p50_us: The largest median of those series in microseconds: how noisy the machine was.
        load_ms: Least time to load it.
        memory_bytes: Growth of resident memory, if known.
    """

    id: str
    latency: Latency
    highest_p50_us: float
    load_ms: float
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Timings:
    """All variants, measured in turn in one run."""

    timings: tuple[Timing, ...]


def load_timings(path: Path) -> tuple[Timing, ...]:
    """Return what the measure step wrote."""
    return load_json(Timings, path).timings


def _run(context: Context) -> None:
    artifacts, draft = load_artifacts(context.needs[MODELS]), context.needs["draft.eib"]
    series: dict[str, list[Measurement]] = {artifact.id: [] for artifact in artifacts}
    with context.report.bar("timing variants", _ROUNDS * len(artifacts)) as bar:
        for _ in range(_ROUNDS):
            for artifact in artifacts:
                timed = measure(draft, artifact.id, artifact.engine, seconds=_SECONDS)
                series[artifact.id].append(timed)
                bar.advance(note=f"{artifact.id} {timed.p50_us:.0f} us")
    timings = Timings(tuple(_timing(artifact, series[artifact.id]) for artifact in artifacts))
    save_json(timings, context.give("timings.json"))


def _timing(artifact: Artifact, series: Sequence[Measurement]) -> Timing:
    info = engine_named(artifact.engine).info()
    medians = [each.p50_us for each in series]
    grown = [each.memory_bytes for each in series if each.memory_bytes is not None]
    return Timing(
        id=artifact.id,
        latency=Latency(min(medians), f"{info.package} {info.version}", series[0].threads, processor()),
        highest_p50_us=max(medians),
        load_ms=min(each.load_ms for each in series),
        memory_bytes=max(grown, default=None),
    )


MEASURE = Step("measure", ("draft.eib", MODELS), ("timings.json",), lambda _: None, _run)
