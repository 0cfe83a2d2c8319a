"""The report: what was made, from what, how good it is, and which limits it kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from converters.data.dataset import DataRecord
from converters.package.quantization import quantization_section
from converters.quantize.integer_types import TypeFigures
from converters.quantize.sensitivity import Sensitivity
from converters.recipe import Recipe
from converters.verify.confidence import Fitted
from converters.verify.figures import Figures, VariantFigures
from converters.verify.gate import Verdict
from converters.verify.proportion import shown
from edgeinfer.bundle import encode


@dataclass(frozen=True)
class Report:
    """Everything that the report shows.

    Attributes:
        recipe: What was asked for.
        data: What it was trained and measured on.
        figures: What was measured.
        verdicts: Limits and whether they are kept.
        fitted: Calibration.
        integer_types: What was tried for ONNX.
        sensitivity: What each layer loses in int8.
        tools: Version per package.
    """

    recipe: Recipe
    data: DataRecord
    figures: Figures
    verdicts: tuple[Verdict, ...]
    fitted: Fitted
    integer_types: tuple[TypeFigures, ...]
    sensitivity: Sensitivity
    tools: Mapping[str, str]

    def json(self) -> bytes:
        """Return it for programs."""
        value = encode(replace(self, recipe=self.recipe.published()))
        # File names of somebody's pictures are no business of those who get the bundle.
        value["data"]["unreadable"] = len(self.data.unreadable)
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

    def markdown(self) -> bytes:
        """Return it for people."""
        quantization = quantization_section(self.integer_types, self.sensitivity)
        parts = [
            self._head(),
            self._variants(),
            self._limits(),
            quantization,
            self._confidence(),
            self._origin(),
        ]
        return ("\n\n".join(parts) + "\n").encode()

    def _head(self) -> str:
        figures = self.figures
        size = figures.teacher_parameters
        teacher = "The teacher" if size is None else f"The teacher ({size:,} parameters)"
        smaller = "" if size is None else f", {size / figures.student_parameters:.1f} times smaller"
        return "\n".join(
            [
                f"# {self.recipe.name} {self.recipe.version}",
                "",
                f"{self.recipe.intended_use} Licence: {self.recipe.licence}.",
                "",
                f"{teacher} names the right class in {shown(figures.teacher_accuracy)} of the test pictures; the "
                f"student{smaller} ({figures.student_parameters:,} parameters), in "
                f"{shown(figures.student_accuracy)}.",
            ]
        )

    def _variants(self) -> str:
        rows = [
            "## Variants",
            "",
            "| variant | engine | bytes | accuracy (95% CI) | one run | agrees with teacher | with PyTorch |",
            "| --- | --- | ---: | --- | ---: | ---: | ---: |",
            *(_row(variant) for variant in self.figures.variants),
            "",
            f"Accuracy on {self.figures.student_accuracy.n} test pictures that took no part in training, choosing or "
            "calibrating; intervals are Wilson's. One run is the median of many with batch 1 and one thread on "
            f"{self.figures.variants[0].latency.machine}.{self._int8_agreement()}",
        ]
        return "\n".join(rows)

    def _int8_agreement(self) -> str:
        share = self.figures.int8_agreement
        return "" if share is None else f" The int8 files name the same class in {share:.2%} of the pictures."

    def _limits(self) -> str:
        rows = [
            "## Limits",
            "",
            "| limit | variant | measured | limit | kept |",
            "| --- | --- | ---: | ---: | --- |",
        ]
        for each in self.verdicts:
            kept = "yes" if each.passed else "no"
            rows.append(f"| {each.gate} | {each.subject} | {each.measured:.6g} | {each.limit:.6g} | {kept} |")
        return "\n".join(rows)

    def _confidence(self) -> str:
        fitted, evidence = self.fitted, self.fitted.calibration
        return "\n".join(
            [
                "## Confidence",
                "",
                f"Temperature {fitted.temperature:.3g}, fitted on the {evidence.n} validation pictures: expected "
                f"calibration error {evidence.ece_before:.3f} before, {evidence.ece_after:.3f} after; negative log "
                f"likelihood {evidence.nll_before:.4f} before, {evidence.nll_after:.4f} after.",
            ]
        )

    def _origin(self) -> str:
        data = self.data
        splits = ", ".join(f"{count} {split}" for split, count in data.splits.items())
        tools = ", ".join(f"{name} {version}" for name, version in sorted(self.tools.items()))
        lines = [
            "## Origin",
            "",
            f"- Data: {len(data.classes)} classes, {splits}; digest `{data.sha256[:16]}`; {data.duplicates} duplicates "
            f"(never in two splits), {len(data.unreadable)} unreadable.",
            f"- Recipe: digest `{self.recipe.digest()[:16]}`, seed {self.recipe.seed}.",
            f"- Tools: {tools}.",
        ]
        return "\n".join(lines)


def _row(variant: VariantFigures) -> str:
    cells = (
        variant.id,
        variant.engine,
        f"{variant.bytes:,}",
        shown(variant.accuracy),
        f"{variant.latency.p50_us:.0f} us",
        f"{variant.agreement.value:.1%}",
        f"{variant.parity:.1%}",
    )
    return "| " + " | ".join(cells) + " |"
