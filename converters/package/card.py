"""The model card: what the model is for, what it was made from, how good it is and where it ends.

Sections follow Mitchell et al. 2019, "Model cards for model reporting" (FAT* '19). Figures are those
that were measured; what nobody can measure is the recipe's `[card]`, and what it leaves open is said
to be not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.data.dataset import DataRecord
from converters.profile.cascade import learned_from
from converters.profile.profile import Profile
from converters.recipe import Recipe
from converters.report.document import quantized_by
from converters.verify.confidence import Fitted
from converters.verify.figures import Figures
from converters.verify.proportion import shown
from edgeinfer.bundle import Variant

_NOT_STATED = "Not stated."
_WEAKEST = 10


@dataclass(frozen=True)
class ModelCard:
    """Everything that the card shows.

    Attributes:
        recipe: Names, licence, purpose, and its `[card]`.
        data: Classes and splits.
        figures: Measured on the test split.
        fitted: Calibration.
        profile: Measured on the validation split.
        variants: With the runtimes that they need.
    """

    recipe: Recipe
    data: DataRecord
    figures: Figures
    fitted: Fitted
    profile: Profile
    variants: tuple[Variant, ...]

    def markdown(self) -> bytes:
        """Return it for people."""
        parts = [
            self._model(),
            self._use(),
            self._data(),
            self._figures(),
            self._classes(),
            self._confidence(),
            self._limits(),
        ]
        return ("\n\n".join(parts) + "\n").encode()

    def _model(self) -> str:
        recipe, figures = self.recipe, self.figures
        known = figures.teacher_parameters
        taught = "unknown" if known is None else f"{known:,}"
        methods = {each.id: quantized_by(each.method) for each in figures.variants}
        needs = [
            f"- `{each.id}` ({each.format}, {each.precision}, {each.blob.size:,} bytes"
            + (f", quantized by {methods[each.id]}" if methods[each.id] else "")
            + "): any of "
            + ", ".join(f"{package} {version} or newer" for package, version in each.requires.items())
            for each in self.variants
        ]
        lines = [
            f"# Model card: {recipe.name} {recipe.version}",
            "",
            f"- Licence: {recipe.licence}",
            f"- Task: names one of {len(self.data.classes)} classes ({_listed(self.data.classes)})",
            f"- Made by distillation: a teacher of {taught} parameters taught a student of "
            f"{figures.student_parameters:,}",
            f"- Contact: {recipe.card.contact or _NOT_STATED}",
            "",
            "Model files, and the runtimes that they need:",
            "",
            *needs,
        ]
        return "\n".join(lines)

    def _use(self) -> str:
        card = self.recipe.card
        return "\n".join(
            [
                "## Intended use",
                "",
                self.recipe.intended_use,
                "",
                f"Not for: {card.out_of_scope or _NOT_STATED}",
            ]
        )

    def _data(self) -> str:
        card, data = self.recipe.card, self.data
        splits = ", ".join(f"{count:,} {split}" for split, count in data.splits.items())
        return "\n".join(
            [
                "## Data",
                "",
                f"- Name: {card.data_name or _NOT_STATED}",
                f"- Origin: {card.data_origin or _NOT_STATED}",
                f"- Licence: {card.data_licence or _NOT_STATED}",
                f"- Items: {splits}; equal content is never in two splits",
                f"- Digest over all items, labels and splits: `{data.sha256}`",
            ]
        )

    def _figures(self) -> str:
        figures = self.figures
        rows = [
            f"| {each.id} | {each.bytes:,} | {shown(each.accuracy)} | {shown(each.agreement)} "
            f"| {each.latency.p50_us:,.0f} us |"
            for each in figures.variants
        ]
        return "\n".join(
            [
                "## Figures",
                "",
                f"Share of the {figures.student_accuracy.n:,} test items that are named rightly, with its 95% interval "
                "(Wilson). No weight, threshold or bin was chosen by them.",
                "",
                "| | bytes | accuracy | names the teacher's class | one run |",
                "| --- | ---: | --- | --- | ---: |",
                f"| teacher | | {shown(figures.teacher_accuracy)} | | |",
                *rows,
                "",
                f"One run: median, batch 1, one thread, on {figures.variants[0].latency.machine}.",
            ]
        )

    def _classes(self) -> str:
        shares = sorted(self.profile.per_class.items(), key=lambda pair: (pair[1].value, pair[0]))
        rows = [
            f"| {label} | {share.n:,} | {shown(share)} | {self._mistaken(label)} |"
            for label, share in shares[:_WEAKEST]
        ]
        title = (
            "Every class" if len(shares) <= _WEAKEST else f"The {_WEAKEST} weakest of {len(shares)} classes"
        )
        return "\n".join(
            [
                "## Classes",
                "",
                f"{title}, on the {self.profile.drift.n:,} validation items, by variant "
                f"`{self.profile.drift.variant}`, the weakest first.",
                "",
                "| class | items | named rightly | most often taken for |",
                "| --- | ---: | --- | --- |",
                *rows,
            ]
        )

    def _mistaken(self, label: str) -> str:
        at = self.data.classes.index(label)
        row = [0 if column == at else count for column, count in enumerate(self.profile.confusion[at])]
        worst = max(range(len(row)), key=row.__getitem__)
        return f"{self.data.classes[worst]} ({row[worst]})" if row[worst] else "-"

    def _confidence(self) -> str:
        evidence, cascade = self.fitted.calibration, self.profile.cascade
        rows = [
            f"| {each.threshold:g} | {shown(each.escalation)} | {shown(each.accuracy)} "
            f"| {shown(each.kept_accuracy) if each.kept_accuracy else '-'} |"
            for each in cascade.points
        ]
        chosen = (
            f"Recommended: {cascade.recommended:g}, {cascade.rule}."
            if cascade.recommended is not None
            else "No threshold was asked for."
        )
        test = self.figures.teacher_accuracy
        doubt = (
            [
                f"The teacher is right in only {shown(test)} of the test items: it seems to have learned from the "
                f"{cascade.split} items. Expect both together to be right less often than this table says.",
                "",
            ]
            if learned_from(cascade, test)
            else []
        )
        return "\n".join(
            [
                "## Confidence",
                "",
                f"Calibrated on {evidence.n:,} {evidence.split} items: expected calibration error "
                f"{evidence.ece_before:.3f} before, {evidence.ece_after:.3f} after. It says nothing about items "
                "unlike the data's.",
                "",
                "Handing every answer below a threshold to the teacher would mean, on the "
                f"{cascade.n:,} {cascade.split} items (teacher alone {shown(cascade.teacher_accuracy)}, student alone "
                f"{shown(cascade.student_accuracy)}):",
                "",
                "| threshold | handed on | accuracy of both together | accuracy of what stays |",
                "| ---: | --- | --- | --- |",
                *rows,
                "",
                *doubt,
                f"{chosen} The temperature was fitted on the same items.",
            ]
        )

    def _limits(self) -> str:
        limits = [f"- {each}" for each in self.recipe.card.limitations] or [_NOT_STATED]
        return "\n".join(["## Limits", "", *limits])


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
