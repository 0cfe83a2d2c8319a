"""What held-out data said of a model, in lines for a terminal."""

from __future__ import annotations

import numpy as np

from edgeinfer.bundle import (
    Bundle,
    Cascade,
    Confusion,
    DriftReference,
    InputStatistic,
    Measure,
    Projection,
    Proportion,
)
from edgeinfer.cli.table import table

_WEAKEST = 3


def evidence_lines(opened: Bundle) -> list[str]:
    """Return lines on the drift reference, the confusion matrix and the cascade, as far as they are there.

    Raises:
        BundleError: The confusion matrix cannot be read.
    """
    manifest = opened.manifest
    lines = []
    if manifest.drift:
        lines += ["", *_drift(manifest.drift)]
    if manifest.confusion:
        labels = manifest.outputs[0].labels
        classes = labels or tuple(map(str, range(manifest.confusion.counts.shape[0])))
        lines += ["", *_confusion(manifest.confusion, classes, opened)]
    if manifest.cascade:
        lines += ["", *_cascade(manifest.cascade)]
    return lines


def share(value: Proportion | None) -> str:
    """Return a share with its interval in percent, or a dash."""
    return f"{value.value:.1%} ({value.low * 100:.1f}-{value.high * 100:.1f})" if value else "-"


def _drift(drift: DriftReference) -> list[str]:
    header = (
        f"drift       {len(drift.features)} features of {drift.n} {drift.split} items, by {drift.variant}"
    )
    rows = [
        [feature.name, _measure(feature.measure), " ".join(map(str, feature.counts))]
        for feature in drift.features
    ]
    return [header, *_indented(table(["feature", "measure", "items per symbol"], rows))]


def _measure(measure: Measure) -> str:
    if isinstance(measure, InputStatistic):
        place = "" if measure.index is None else f" {measure.index}"
        return f"{measure.statistic}{place} of {measure.input}"
    return f"projection of {measure.output}" if isinstance(measure, Projection) else measure.op


def _confusion(confusion: Confusion, classes: tuple[str, ...], opened: Bundle) -> list[str]:
    data = opened.read(confusion.counts.blob)
    counts = np.frombuffer(data, "<i4").reshape(confusion.counts.shape).copy()
    weakest = sorted(confusion.per_class.items(), key=lambda pair: (pair[1].value, pair[0]))[:_WEAKEST]
    lines = [
        f"classes     {len(confusion.per_class)} measured on {confusion.n} {confusion.split} items, "
        f"by {confusion.variant}; the weakest:"
    ]
    for label, own in weakest:
        at = classes.index(label)
        counts[at, at] = 0
        worst = int(counts[at].argmax())
        taken = f", {counts[at, worst]} taken for {classes[worst]}" if counts[at, worst] > 0 else ""
        lines.append(f"            {label}: {share(own)} of {own.n}{taken}")
    return lines


def _cascade(cascade: Cascade) -> list[str]:
    lines = [
        f"cascade     unsure answers to the teacher, on {cascade.n} {cascade.split} items: "
        f"{cascade.variant} alone {share(cascade.student_accuracy)}, "
        f"teacher alone {share(cascade.teacher_accuracy)}"
    ]
    rows = [
        [
            f"{each.threshold:g}{' *' if each.threshold == cascade.recommended else '  '}",
            share(each.escalation),
            share(each.accuracy),
            share(each.kept_accuracy),
        ]
        for each in cascade.points
    ]
    header = ["threshold", "handed on", "accuracy of both", "of what stays"]
    lines += _indented(table(header, rows, right=(0,)))
    if cascade.recommended is not None:
        lines.append(f"            * recommended: {cascade.rule or 'no rule stated'}")
    return lines


def _indented(text: str) -> list[str]:
    return [f"            {line}" for line in text.splitlines()]
