"""The whole conversion: the steps in order, and what comes out beside the bundle."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from converters.data.dataset import DATA, DataRecord, Examples, load_record, load_split
from converters.distill.answers import ANSWERS
from converters.distill.student import STUDENT
from converters.distill.teacher import TEACHER
from converters.export.float_models import EXPORT
from converters.export.slim import SLIM
from converters.export.variants import DRAFT
from converters.package.package import PACKAGE
from converters.places import check_output
from converters.plan import Planned, plan_steps
from converters.profile.profile import PROFILE
from converters.progress import Quiet, Reporter
from converters.quantize.static import QUANTIZE
from converters.quantize.trained import QAT
from converters.recipe import Recipe, check_recipe
from converters.report.step import PAGE, REPORT
from converters.search.budget import BUDGET
from converters.steps import run_steps
from converters.tools import tool_versions
from converters.verify.answers import TEST
from converters.verify.confidence import CALIBRATE
from converters.verify.figures import VERIFY, Figures, load_figures
from converters.verify.gate import GATE
from converters.verify.layers import LAYERS
from converters.verify.timing import MEASURE
from edgeinfer.bundle import open_bundle
from edgeinfer.errors import ConversionError, GateError
from edgeinfer.host import atomic_file

STEPS = (
    *(DATA, TEACHER, ANSWERS, BUDGET, STUDENT, EXPORT, QAT, QUANTIZE, SLIM, DRAFT),
    *(TEST, MEASURE, VERIFY, LAYERS, CALIBRATE, REPORT, GATE, PROFILE, PACKAGE),
)


@dataclass(frozen=True)
class Outcome:
    """What a conversion made.

    Attributes:
        bundle: The bundle's file.
        digest: Its identity.
        report: The report for people, a page; the same in Markdown and JSON lies beside it.
        data: What it was trained and measured on.
        figures: What was measured.
        kind: Of the input.
    """

    bundle: Path
    digest: str
    report: Path
    data: DataRecord
    figures: Figures
    kind: Literal["image", "audio", "table"]


def convert(
    recipe: Recipe,
    output: Path,
    work: Path,
    report: Reporter | None = None,
    *,
    from_step: str | None = None,
) -> Outcome:
    """Make a bundle from a recipe, resuming what an earlier run left in the work folder.

    Args:
        recipe: What to make.
        output: Where the bundle goes; `<name>.report.html`, `.md` and `.json` are written beside it.
        work: Folder that keeps each step's result; made if missing.
        report: Where steps say what they do; nowhere by default.
        from_step: Name of a step to begin with, whether or not it and those after it are up to date.

    Raises:
        RecipeError: The recipe breaks a rule.
        DataError: The data cannot be used.
        GateError: A limit was missed; nothing is written to `output`.
        ConversionError: Another step failed.
        BundleError: The bundle cannot be written.
    """
    check_recipe(recipe)
    check_output(output, work)
    try:
        files = run_steps(STEPS, recipe, work, report or Quiet(), tool_versions(), from_step)
    except GateError as error:
        told = f"{error.next_step}; what was lost where: {work / REPORT.name / PAGE}"
        raise GateError(error.what, found=error.found, expected=error.expected, next_step=told) from error
    stem = output.name.removesuffix(".eib")
    # The bundle last: when it is there, so is its report.
    paths = {
        "report.md": output.with_name(f"{stem}.report.md"),
        "report.json": output.with_name(f"{stem}.report.json"),
        PAGE: output.with_name(f"{stem}.report.html"),
        "bundle.eib": output,
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for artifact, path in paths.items():
            with files[artifact].open("rb") as source, atomic_file(path) as target:
                shutil.copyfileobj(source, target)
    except OSError as error:
        raise ConversionError(
            f"cannot write {output} or the report beside it ({error.strerror or error})",
            next_step="free space or choose another place; the run resumes where it was",
        ) from error
    with open_bundle(output) as bundle:
        bundle.verify()
        data, figures = load_record(files), load_figures(files["figures.json"])
        return Outcome(output, bundle.digest, paths[PAGE], data, figures, recipe.input.kind)


def plan(recipe: Recipe, output: Path, work: Path, *, from_step: str | None = None) -> tuple[Planned, ...]:
    """Return what `convert` with the same arguments would do, and write nothing.

    Raises:
        RecipeError: The recipe breaks a rule.
        DataError: The data cannot be found.
        ConversionError: The output is a folder, or there is no `from_step`.
    """
    check_recipe(recipe)
    check_output(output, work)
    return plan_steps(STEPS, recipe, work, tool_versions(), from_step)


def load_examples(work: Path, split: str) -> Examples:
    """Return a split (`train`, `validation` or `test`) of the data that a conversion used.

    Args:
        work: The conversion's work folder.
        split: Name of the split.

    Raises:
        ConversionError: The folder holds no finished data step.
    """
    folder = work / DATA.name
    if not (folder / "done.json").is_file():
        raise ConversionError(f"{work} holds no data", next_step="run the conversion first")
    return load_split({name: folder / name for name in DATA.gives}, split)
