"""`edgeinfer convert`: a recipe becomes a bundle."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.missing import require_packages
from edgeinfer.errors import BundleError, ConversionError
from edgeinfer.host import packages_of

if TYPE_CHECKING:
    from converters.pipeline import Outcome
    from converters.plan import Planned

# By kind of input: what items are called, and what stands for some on the command line.
_SPOKEN = {
    "image": ("pictures", "PICTURE..."),
    "audio": ("recordings", "RECORDING..."),
    "table": ("rows", "ROWS.csv"),
}


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle; default <name>.eib here.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="Folder that keeps each step; default build/<name>."
)
@click.option("--from-step", metavar="STEP", help="Do this step and all after it again.")
@click.option("--dry-run", is_flag=True, help="Print what would be done and why; do and write nothing.")
def convert(
    recipe: Path, output: Path | None, work: Path | None, from_step: str | None, *, dry_run: bool
) -> None:
    """Make a bundle from RECIPE (a TOML file): train or load the teacher, distil, quantize, verify, pack.

    A recipe with a table [model] takes an ONNX or TFLite file as it is: clean, wrap, quantize, verify, pack.

    What an earlier run finished is not done again; a killed run goes on where it was. A limit that
    is missed ends it with the figures and no bundle. The report is written beside the bundle.
    """
    require_packages("converting", *packages_of("convert"))
    from converters import convert as make
    from converters import load_recipe
    from converters.pipeline import plan
    from converters.progress import reporter
    from converters.recipe import read_table

    table = read_table(recipe)
    if output is not None:
        _check_replaced(output)
    if "model" in table:
        if from_step is not None:
            raise ConversionError(
                "--from-step",
                found=f"{from_step!r} for a recipe with a table [model]",
                expected="a recipe that trains",
            )
        _convert_ready(recipe, output, work, dry_run=dry_run)
        return
    read = load_recipe(recipe)
    bundle, work = output or Path(f"{read.name}.eib"), work or Path("build") / read.name
    if dry_run:
        _show_plan(plan(read, bundle, work, from_step=from_step), bundle, work)
        return
    with reporter(terminal=sys.stderr.isatty()) as report:
        outcome = make(read, bundle, work, report, from_step=from_step)
    _show(outcome)


def _check_replaced(output: Path) -> None:
    """Refuse to write over a file that is no bundle: a recipe, a model or a table, named by a slip."""
    from edgeinfer.bundle import open_bundle

    if not output.is_file() or output.suffix == ".eib":
        return
    try:
        with open_bundle(output):
            return
    except BundleError as error:
        raise ConversionError(
            f"{output} is there and would be lost",
            found="a file that is no bundle",
            expected="a new name, or that of a bundle",
            next_step="name another file: -o",
        ) from error


def _convert_ready(recipe: Path, output: Path | None, work: Path | None, *, dry_run: bool) -> None:
    from converters.progress import reporter
    from converters.ready import convert_ready, load_ready_recipe

    read = load_ready_recipe(recipe)
    bundle = output or Path(f"{read.name}.eib")
    if dry_run:
        if not read.resolve(read.model.path).is_file():
            raise ConversionError(
                f"no model at {read.resolve(read.model.path)}", next_step="check model.path in the recipe"
            )
        click.echo(
            f"{read.model.path} would be cleaned, wrapped, quantized and verified in one go, without training"
        )
        click.echo(f"bundle  {bundle}{', which is replaced' if bundle.exists() else ''}")
        return
    with reporter(terminal=sys.stderr.isatty()) as report:
        outcome = convert_ready(read, bundle, work or Path("build") / read.name, report)
    click.echo(outcome.shown())


def _show_plan(planned: tuple[Planned, ...], bundle: Path, work: Path) -> None:
    """Print a plan: a line a step, and what it adds up to."""
    for each in planned:
        state = "up to date" if not each.runs else "goes on" if each.resumes else "runs"
        cost = f"  {_shown_time(each.seconds):>10}  {_shown_size(each.bytes):>10}" if each.runs else ""
        click.echo(f"{each.name:<10} {state:<10}{cost:<24}  {'; '.join(each.reasons)}".rstrip())
    todo = [each for each in planned if each.runs]
    free = shutil.disk_usage(next(path for path in work.resolve().parents if path.exists())).free
    click.echo()
    click.echo(f"steps   {len(todo)} of {len(planned)} to run in {work}")
    click.echo(f"time    {_shown_total(todo)}")
    needed = _shown_size(sum(each.bytes or 0 for each in todo))
    click.echo(f"disk    {needed} by earlier runs, {_shown_size(free)} free")
    click.echo(f"bundle  {bundle}{', which is replaced' if bundle.exists() else ''}")


def _shown_total(todo: list[Planned]) -> str:
    """Return the sum of what is known, and of what it is not known."""
    unknown = [each.name for each in todo if each.seconds is None]
    total = _shown_time(sum(each.seconds or 0.0 for each in todo))
    if not unknown:
        return total
    if len(unknown) == len(todo):
        return "unknown: no earlier run here to judge by"
    return f"{total} and what {', '.join(unknown)} take, of which no earlier run here tells"


def _shown_time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _shown_size(size: int | None) -> str:
    if size is None:
        return "unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


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
    # Names of classes and files are no markup.
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    # Wrapped is better than cut off.
    console.width = max(console.width, 100)
    data = outcome.data
    splits = ", ".join(f"{count} {split}" for split, count in data.splits.items())
    what, example = _SPOKEN[outcome.kind]
    console.print(f"data    {len(data.classes)} classes ({', '.join(data.classes[:8])}), {splits} {what}")
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
    console.print(f"next    edgeinfer predict {outcome.bundle} {example}")
