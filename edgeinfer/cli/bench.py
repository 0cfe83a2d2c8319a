"""`edgeinfer bench`: what every variant costs on every engine here."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgeinfer.bundle import open_bundle
from edgeinfer.cli.table import table
from edgeinfer.engines import ENGINE_NAMES, engine_named
from edgeinfer.errors import EngineError, NoVariantError
from edgeinfer.host import processor
from edgeinfer.inference import Candidate, Measurement, Wishes, candidates, measure


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--seconds", type=click.FloatRange(0.05, 60), default=1.0, show_default=True, help="Per candidate."
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads for one call."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench(bundle: Path, seconds: float, threads: int, as_json: bool) -> None:
    """Time every variant of BUNDLE on every engine that is installed.

    Each runs in a process of its own, batch 1, without preprocessing. Memory is what loading and
    running it adds to the process.
    """
    if math.isnan(seconds):
        raise click.BadParameter("nan is no time", param_hint="--seconds")
    with open_bundle(bundle) as opened:
        opened.verify()
        found = candidates(opened.manifest, [engine_named(name) for name in ENGINE_NAMES], Wishes())
        digest = opened.digest
    with click.progressbar(
        found, label="measuring", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as shown:
        results = [(each, each.rejected or _measure(bundle, each, threads, seconds)) for each in shown]
    if as_json:
        rows = [_fields(each, result) for each, result in results]
        click.echo(
            json.dumps(
                {"bundle": digest, "processor": processor(), "threads": threads, "rows": rows}, indent=2
            )
        )
    else:
        click.echo(f"{processor()}, {threads} thread{'s' if threads > 1 else ''}, batch 1")
        header = ["variant", "engine", "p50 us", "p90 us", "p99 us", "load ms", "memory MB", "runs"]
        click.echo(table(header, [_row(each, result) for each, result in results], right=range(2, 8)))
    if not any(isinstance(result, Measurement) for _, result in results):
        raise NoVariantError(
            f"no variant of {bundle} could be measured", next_step="`edgeinfer doctor` tells what is missing"
        )


def _measure(bundle: Path, each: Candidate, threads: int, seconds: float) -> Measurement | str:
    try:
        return measure(bundle, each.variant, each.engine, threads=threads, seconds=seconds)
    except EngineError as error:
        return str(error)


def _row(each: Candidate, result: Measurement | str) -> list[str]:
    if isinstance(result, str):
        return [each.variant, f"{each.runtime or each.engine}: {result}", "-", "-", "-", "-", "-", "-"]
    memory = f"{result.memory_bytes / 1e6:.1f}" if result.memory_bytes is not None else "-"
    times = (f"{value:.1f}" for value in (result.p50_us, result.p90_us, result.p99_us, result.load_ms))
    return [each.variant, each.runtime or each.engine, *times, memory, str(result.runs)]


def _fields(each: Candidate, result: Measurement | str) -> dict[str, Any]:
    own = {"rejected": result} if isinstance(result, str) else asdict(result)
    return {"variant": each.variant, "engine": each.engine, "runtime": each.runtime, **own}
