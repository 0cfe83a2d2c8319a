"""`edgeinfer predict`: pictures in, answers out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from edgeinfer.cli.quiet import quiet_engines
from edgeinfer.errors import InputError
from edgeinfer.inference import Prediction, load

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_ARRAYS = (".npy", ".npz")
MAX_STDIN_BYTES = 512 * 1024 * 1024


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
    """Answer for each FILE: a picture, an array (.npy, .npz), a folder of them, or - for a picture on standard input.

    A file that cannot be answered for is reported on standard error and the rest goes on; the exit
    status is then 1.
    """
    with quiet_engines():
        model = load(bundle, engine=engine, variant=variant, threads=threads)
    failed = 0
    with model:
        for name in _names(files):
            try:
                # Native picture readers print their own complaints about damaged files.
                with quiet_engines():
                    prediction = model.predict(_source(name))
            except InputError as error:
                failed += 1
                about = "" if name != "-" and name in str(error) else f"{name}: "
                click.echo(f"error: {about}{error}", err=True)
                continue
            click.echo(_json(name, prediction) if as_json else _line(name, prediction))
    if failed:
        sys.exit(1)


def _names(files: Sequence[str]) -> Iterator[str]:
    """Yield every file, those inside folders in order of their names."""
    for name in files:
        path = Path(name)
        inside = sorted(path.rglob("*")) if name not in ("", "-") and path.is_dir() else []
        chosen = [str(each) for each in inside if each.suffix.lower() in (*_PICTURES, *_ARRAYS)]
        # A folder without any is left to `_source`, which says what is wrong with it.
        yield from chosen or [name]


def _source(name: str) -> Any:
    """Return what `Model.predict` takes; pictures are read there."""
    if name == "-":
        if sys.stdin is None:
            raise InputError("there is no standard input")
        return sys.stdin.buffer.read(MAX_STDIN_BYTES)
    path = Path(name)
    if not name or path.is_dir():
        raise InputError(f"{name!r} holds no pictures", expected=", ".join(_PICTURES))
    return _array(path) if path.suffix.lower() in _ARRAYS and path.is_file() else path


def _array(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return dict(loaded)
    except Exception as error:  # its readers raise over a dozen types on damaged files
        raise InputError(
            f"cannot read array file {path} ({type(error).__name__}: {error})",
            next_step="write it with numpy.save",
        ) from error
    return loaded


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
