"""The report step: gather what earlier steps measured and write it for people and for programs.

It runs before the gate, so that a conversion that misses a limit still says where it lost what.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from converters.data.dataset import load_record, load_split
from converters.distill.architecture import ARCHITECTURE, load_architecture
from converters.distill.teacher import RECORD, load_teacher_record
from converters.distill.training import load_history
from converters.export.artifacts import MODELS, load_artifacts
from converters.quantize.integer_types import INTEGER_TYPES, load_types
from converters.quantize.sensitivity import SENSITIVITY, load_sensitivity
from converters.quantize.trained import LEARNED, load_qat_history
from converters.recipe import Recipe
from converters.report.document import Report
from converters.report.markdown import markdown
from converters.report.mistakes import Mistakes, find_mistakes
from converters.report.page import page
from converters.report.pictures import shown_item
from converters.report.reliability import reliability
from converters.steps import Context, Step
from converters.tools import tool_versions
from converters.verify.answers import ANSWERS, load_answers
from converters.verify.confidence import load_fitted
from converters.verify.figures import load_figures
from converters.verify.gate import judge
from converters.verify.layers import LAYERS_FILE, load_layers
from edgeinfer.bundle import encode

# The page with pictures of test items lies beside the bundle; the one without travels in it.
PAGE, SHIPPED_PAGE = "report.html", "shipped-report.html"


def gather(recipe: Recipe, files: Mapping[str, Path]) -> Report:
    """Return the report of a conversion from what its steps wrote.

    Args:
        recipe: The recipe.
        files: Artifacts by name.
    """
    record, figures = load_record(files), load_figures(files["figures.json"])
    answers, fitted = load_answers(files[ANSWERS]), load_fitted(files["calibration.json"])
    artifacts = load_artifacts(files[MODELS])
    floats = {each.format: each.id for each in reversed(artifacts) if each.precision == "fp32"}
    before = {each.id: floats.get(each.format) for each in artifacts if each.precision != "fp32"}
    histories = {
        "teacher": load_teacher_record(files[RECORD]).history,
        "student": load_history(files["history.json"]),
        "student, for int8": load_qat_history(files[LEARNED]),
    }
    return Report(
        recipe=recipe,
        data=record,
        figures=figures,
        verdicts=judge(figures, recipe.gates, recipe.student.budget),
        fitted=fitted,
        layers=load_layers(files[LAYERS_FILE]),
        mistakes=find_mistakes(answers, record.classes, before, fitted.temperature),
        reliability=reliability(answers.variants[artifacts[0].id], answers.labels, fitted.temperature),
        tools=tool_versions(),
        histories={title: epochs for title, epochs in histories.items() if epochs},
        sensitivity=load_sensitivity(files[SENSITIVITY]),
        integer_types=load_types(files[INTEGER_TYPES]),
        candidates=load_architecture(files[ARCHITECTURE]).candidates,
    )


def shown_items(mistakes: Mistakes, files: Mapping[str, Path]) -> dict[int, str]:
    """Return what a reader sees of each test item that the page tells of, by row."""
    wanted = {each.item for each in mistakes.lost} | {each.item for each in mistakes.flips}
    test = load_split(files, "test")
    return {at: shown_item(test.items[at]) for at in sorted(wanted)}


def _run(context: Context) -> None:
    report = gather(context.recipe, context.needs)
    items = shown_items(report.mistakes, context.needs)
    context.give("report.json").write_bytes(report.json())
    context.give("report.md").write_bytes(markdown(report))
    context.give(PAGE).write_bytes(page(report, items))
    context.give(SHIPPED_PAGE).write_bytes(page(report, {}))


REPORT = Step(
    "report",
    (
        "items.npy",
        "splits.npz",
        "data.json",
        RECORD,
        ARCHITECTURE,
        "history.json",
        LEARNED,
        SENSITIVITY,
        INTEGER_TYPES,
        MODELS,
        ANSWERS,
        "figures.json",
        LAYERS_FILE,
        "calibration.json",
    ),
    ("report.json", "report.md", PAGE, SHIPPED_PAGE),
    lambda recipe: encode(recipe.published()),
    _run,
)
