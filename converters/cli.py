"""`edgeinfer convert`: a recipe becomes a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeinfer.errors import ConversionError
from edgeinfer.host import packages_of

if TYPE_CHECKING:
    from converters.pipeline import Outcome


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle; default <name>.eib here.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="Folder that keeps each step; default build/<name>."
)
def convert(recipe: Path, output: Path | None, work: Path | None) -> None:
    """Make a bundle from RECIPE (a TOML file): train or load the teacher, distil, quantize, verify, pack.

    A recipe with a table [model] takes an ONNX or TFLite file as it is: clean, wrap, quantize, verify, pack.

    What an earlier run finished is not done again; a killed run goes on where it was. A limit that
    is missed ends it with the figures and no bundle. The report is written beside the bundle.
    """
    missing = [name for name, version in packages_of("convert").items() if version is None]
    if missing:
        raise ConversionError(
            "converting needs more packages",
            found=f"no {', '.join(missing)}",
            next_step="pip install 'edgeinfer[convert]'",
        )
    from converters import convert as make
    from converters import load_recipe
    from converters.progress import reporter
    from converters.recipe import read_table

    if "model" in read_table(recipe):
        _convert_ready(recipe, output, work)
        return
    read = load_recipe(recipe)
    bundle = output or Path(f"{read.name}.eib")
    with reporter(terminal=sys.stderr.isatty()) as report:
        outcome = make(read, bundle, work or Path("build") / read.name, report)
    _show(outcome)


def _convert_ready(recipe: Path, output: Path | None, work: Path | None) -> None:
    from converters.progress import reporter
    from converters.ready import convert_ready, load_ready_recipe

    read = load_ready_recipe(recipe)
    with reporter(terminal=sys.stderr.isatty()) as report:
        outcome = convert_ready(
            read, output or Path(f"{read.name}.eib"), work or Path("build") / read.name, report
        )
    click.echo(outcome.shown())


def _show(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    from converters.verify.proportion import shown

    figures = outcome.figures
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("variant", "engine", "bytes", "accuracy (95% CI)", "one run", "agreement"):
        table.add_column(title, no_wrap=True, justify="left" if title in ("variant", "engine") else "right")
    for each in figures.variants:
        time, agreement = f"{each.latency.p50_us:.0f} us", f"{each.agreement.value:.1%}"
        table.add_row(each.id, each.engine, f"{each.bytes:,}", shown(each.accuracy), time, agreement)
    console = Console(highlight=False, soft_wrap=True)
    # Wrapped is better than cut off.
    console.width = max(console.width, 100)
    data = outcome.data
    splits = ", ".join(f"{count} {split}" for split, count in data.splits.items())
    console.print(f"data    {len(data.classes)} classes ({', '.join(data.classes[:8])}), {splits} pictures")
    size = "" if figures.teacher_parameters is None else f"{figures.teacher_parameters:,} parameters, "
    console.print(f"teacher {size}{shown(figures.teacher_accuracy)} right")
    console.print(
        f"student {figures.student_parameters:,} parameters, {shown(figures.student_accuracy)} right"
    )
    console.print()
    console.print(table)
    console.print()
    console.print(
        f"bundle  {outcome.bundle} ({outcome.bundle.stat().st_size:,} bytes, digest {outcome.digest[:16]})"
    )
    console.print(f"report  {outcome.report}")
    console.print(f"next    edgeinfer predict {outcome.bundle} PICTURE...")
