"""`edgeinfer predict`: pictures, recordings or rows in, answers out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgeinfer.cli.quiet import quiet_engines
from edgeinfer.cli.sources import PICTURES, names, sources
from edgeinfer.cli.table import table
from edgeinfer.errors import InputError, printable
from edgeinfer.inference import Detection, Model, Prediction, load


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--delimiter", default=",", show_default=True, help="What separates the fields of a CSV file.")
@click.option("--engine", help="Insist on an engine: litert or onnxruntime.")
@click.option("--variant", help="Insist on a variant, by id.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads for one call."
)
@click.option(
    "--draw",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write FILE there with a box around each thing found; one FILE, and a model that detects.",
)
def predict(
    bundle: Path, files: Sequence[str], as_json: bool, delimiter: str, draw: Path | None, **how: Any
) -> None:
    """Answer for each FILE: a picture, a WAV recording, rows (.csv, .json), an array (.npy, .npz), or a folder of them.

    A - takes one picture, recording or JSON row from standard input.

    What cannot be answered for is reported on standard error and the rest goes on; the exit
    status is then 1.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise click.BadParameter("one character, no quote or line end", param_hint="--delimiter")
    with quiet_engines():
        model = load(bundle, **how)
    failed = 0
    with model:
        if draw:
            _check_drawing(model, list(names(files)))
        for name in names(files):
            failed += _answer(model, name, sources(name, delimiter), as_json, draw)
    if failed:
        sys.exit(1)


def _answer(
    model: Model, name: str, given: Iterable[tuple[str, Any]], as_json: bool, draw: Path | None
) -> int:
    """Print the answers for a file; return how many could not be given."""
    failed = 0
    for at, source in given:
        try:
            if isinstance(source, InputError):
                raise source
            # Native picture readers print their own complaints about damaged files.
            with quiet_engines():
                prediction = model.predict(source)
        except InputError as error:
            failed += 1
            about = "" if name != "-" and name in str(error) else f"{printable(at)}: "
            click.echo(f"error: {about}{error}", err=True)
            continue
        click.echo(_json(at, prediction) if as_json else _line(at, prediction))
        if draw:
            _draw(source, prediction, draw)
    return failed


def _line(name: str, prediction: Prediction) -> str:
    name = printable(name)
    where = f"{prediction.variant}, {prediction.engine}, {prediction.latency_ms:.1f} ms"
    if prediction.detections is not None:
        return _found(f"{name}: {len(prediction.detections)} found  [{where}]", prediction.detections)
    if prediction.label is None:
        shapes = ", ".join(f"{key} {value.shape}" for key, value in prediction.outputs.items())
        return f"{name}: {shapes}  [{where}]"
    others = ", ".join(f"{printable(str(each.label))} {each.confidence:.1%}" for each in prediction.top[1:])
    then = f"  (then {others})" if others else ""
    return f"{name}: {printable(prediction.label)}  {prediction.confidence:.1%}{then}  [{where}]"


def _found(head: str, detections: Sequence[Detection]) -> str:
    if not detections:
        return head
    rows = [
        [printable(each.label), f"{each.score:.1%}", *(f"{value:.1f}" for value in each.box)]
        for each in detections
    ]
    return f"{head}\n{table(['label', 'score', 'x0', 'y0', 'x1', 'y1'], rows, right=range(1, 6))}"


def _check_drawing(model: Model, names: Sequence[str]) -> None:
    answer = {step.op for step in model.manifest.outputs[0].postprocess}
    if "non_maximum_suppression" not in answer:
        raise InputError("--draw needs a model that detects", found=model.manifest.task)
    if len(names) != 1 or (names[0] != "-" and Path(names[0]).suffix.lower() not in PICTURES):
        raise InputError("--draw takes one picture", found=f"{len(names)} files: {', '.join(names[:3])}")


def _draw(source: Any, prediction: Prediction, path: Path) -> None:
    from edgeinfer.preprocess import draw_boxes

    draw_boxes(
        source, [(f"{each.label} {each.score:.0%}", each.box) for each in prediction.detections or ()], path
    )
    click.echo(f"drawn: {path}", err=True)


def _json(name: str, prediction: Prediction) -> str:
    fields = {
        "file": name,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "top": [asdict(each) for each in prediction.top],
        **_what(prediction),
        "source": prediction.source,
        "reason": prediction.reason,
        "variant": prediction.variant,
        "engine": prediction.engine,
        "bundle": prediction.bundle,
        "latency_ms": prediction.latency_ms,
        "timings": asdict(prediction.timings),
    }
    return json.dumps(fields)


def _what(prediction: Prediction) -> dict[str, Any]:
    """Return a detector's findings, or else the raw outputs: a detector's are thousands of boxes."""
    if prediction.detections is not None:
        return {"detections": [asdict(each) for each in prediction.detections]}
    return {"outputs": {key: value[0].tolist() for key, value in prediction.outputs.items()}}
