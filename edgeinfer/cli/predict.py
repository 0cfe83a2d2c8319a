"""`edgeinfer predict`: pictures, recordings or rows in, answers out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from edgeinfer.cli.quiet import quiet_engines
from edgeinfer.cli.sources import names, sources
from edgeinfer.errors import InputError
from edgeinfer.inference import Model, Prediction, load


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--engine", help="Insist on an engine: litert or onnxruntime.")
@click.option("--variant", help="Insist on a variant, by id.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads for one call."
)
def predict(
    bundle: Path, files: Sequence[str], as_json: bool, engine: str | None, variant: str | None, threads: int
) -> None:
    """Answer for each FILE: a picture, a WAV recording, rows (.csv, .json), an array (.npy, .npz), or a folder of them.

    A - takes one picture, recording or JSON row from standard input.

    What cannot be answered for is reported on standard error and the rest goes on; the exit
    status is then 1.
    """
    with quiet_engines():
        model = load(bundle, engine=engine, variant=variant, threads=threads)
    failed = 0
    with model:
        for name in names(files):
            failed += _answer(model, name, as_json)
    if failed:
        sys.exit(1)


def _answer(model: Model, name: str, as_json: bool) -> int:
    """Print the answers for a file; return how many could not be given."""
    failed = 0
    for at, source in sources(name):
        try:
            if isinstance(source, InputError):
                raise source
            # Native picture readers print their own complaints about damaged files.
            with quiet_engines():
                prediction = model.predict(source)
        except InputError as error:
            failed += 1
            about = "" if name != "-" and name in str(error) else f"{at}: "
            click.echo(f"error: {about}{error}", err=True)
            continue
        click.echo(_json(at, prediction) if as_json else _line(at, prediction))
    return failed


def _line(name: str, prediction: Prediction) -> str:
    where = f"{prediction.variant}, {prediction.engine}, {prediction.latency_ms:.1f} ms"
    if prediction.label is None:
        shapes = ", ".join(f"{key} {value.shape}" for key, value in prediction.outputs.items())
        return f"{name}: {shapes}  [{where}]"
    others = ", ".join(f"{each.label} {each.confidence:.1%}" for each in prediction.top[1:])
    then = f"  (then {others})" if others else ""
    return f"{name}: {prediction.label}  {prediction.confidence:.1%}{then}  [{where}]"


def _json(name: str, prediction: Prediction) -> str:
    fields = {
        "file": name,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "top": [asdict(each) for each in prediction.top],
        "outputs": {key: value[0].tolist() for key, value in prediction.outputs.items()},
        "source": prediction.source,
        "reason": prediction.reason,
        "variant": prediction.variant,
        "engine": prediction.engine,
        "bundle": prediction.bundle,
        "latency_ms": prediction.latency_ms,
        "timings": asdict(prediction.timings),
    }
    return json.dumps(fields)
