"""What a report says, before it is Markdown, a page or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from converters.data.dataset import DataRecord
from converters.distill.architecture import Candidate
from converters.distill.training import Epoch
from converters.quantize.integer_types import TypeFigures
from converters.quantize.sensitivity import Sensitivity
from converters.recipe import Recipe
from converters.report.mistakes import Mistakes
from converters.report.reliability import Reliability
from converters.verify.confidence import Fitted
from converters.verify.figures import Figures, VariantFigures
from converters.verify.gate import Verdict
from converters.verify.layers import Layers
from edgeinfer.bundle import encode

_METHODS = {
    "static": "calibration (PTQ)",
    "qat": "training (QAT)",
    "dynamic": "scales found at every run",
    "weight-only": "weights alone",
}


@dataclass(frozen=True)
class Report:
    """Everything that the report shows.

    Attributes:
        recipe: What was asked for.
        data: What it was trained and measured on.
        figures: What was measured.
        verdicts: Limits and whether they are kept.
        fitted: Calibration.
        layers: Float against quantized, layer by layer.
        mistakes: What goes wrong, class by class.
        reliability: Confidence against accuracy, of the student on the test split.
        tools: Version per package.
        histories: Epochs of each training, by what was trained.
        sensitivity: What layers kept in float regain.
        integer_types: Choices of integer types for ONNX that were tried.
        candidates: Students that were measured to choose one, if it was not named.
    """

    recipe: Recipe
    data: DataRecord
    figures: Figures
    verdicts: tuple[Verdict, ...]
    fitted: Fitted
    layers: Layers
    mistakes: Mistakes
    reliability: Reliability
    tools: Mapping[str, str]
    histories: Mapping[str, tuple[Epoch, ...]]
    sensitivity: Sensitivity
    integer_types: tuple[TypeFigures, ...]
    candidates: tuple[Candidate, ...] = ()

    @property
    def shipped(self) -> VariantFigures:
        """The variant that a device tries first."""
        return next(each for each in self.figures.variants if each.id == self.mistakes.shipped)

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """Limits that are not kept."""
        return tuple(each for each in self.verdicts if not each.passed)

    def json(self) -> bytes:
        """Return it for programs."""
        value = encode(replace(self, recipe=self.recipe.published()))
        # File names of somebody's pictures are no business of those who get the bundle.
        value["data"]["unreadable"] = len(self.data.unreadable)
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def headline(report: Report) -> str:
    """Return the verdict in one sentence."""
    shipped, figures = report.shipped, report.figures
    lost = (figures.student_accuracy.value - shipped.accuracy.value) * 100
    change = "loses nothing to" if lost <= 0 else f"loses {lost:.1f} points to"
    measured = (
        f"{shipped.id} takes {shipped.bytes:,} bytes, is right in {percent(shipped.accuracy.value)} of the test items "
        f"and {change} the unquantized student"
    )
    if not report.missed:
        kept = f"All {len(report.verdicts)} limits are kept" if report.verdicts else "No limit was set"
        return f"{kept}: {measured}."
    first = report.missed[0]
    others = len(report.missed) - 1
    more = f" and {others} more" if others else ""
    return (
        f"Not to be shipped: {len(report.missed)} of {len(report.verdicts)} limits are missed "
        f"({first.gate} of {first.subject}{more}); {measured}."
    )


def quantized_by(method: str | None) -> str:
    """Return how a variant was quantized, for reading; nothing for a float file."""
    return _METHODS.get(method or "", method or "")


def percent(share: float) -> str:
    """Return a share for reading, for example `98.5%`."""
    return f"{share:.1%}"


def decibels(value: float | None) -> str:
    """Return a ratio for reading; a layer in which no value differs is exact."""
    return "exact" if value is None else f"{value:.1f}"
