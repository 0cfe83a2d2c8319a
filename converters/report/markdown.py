"""The report in Markdown: it travels in the bundle, and reads well where nothing renders it."""

from __future__ import annotations

from converters.report.document import Report, decibels, headline, percent, quantized_by
from converters.report.frontier import described, trained
from converters.report.mistakes import STUDENT, TEACHER
from converters.report.quantization import quantization_section
from converters.verify.figures import VariantFigures
from converters.verify.proportion import shown

_WORST_CLASSES = 10


def markdown(report: Report) -> bytes:
    """Return a report as Markdown."""
    parts = (_head, _variants, _limits, _layers, _quantization, _candidates, _classes, _confidence, _origin)
    texts = [part(report) for part in parts]
    return ("\n\n".join(text for text in texts if text) + "\n").encode()


def _head(report: Report) -> str:
    figures = report.figures
    size = figures.teacher_parameters
    teacher = "The teacher" if size is None else f"The teacher ({size:,} parameters)"
    smaller = "" if size is None else f", {size / figures.student_parameters:.1f} times smaller"
    return "\n".join(
        [
            f"# {report.recipe.name} {report.recipe.version}",
            "",
            f"{report.recipe.intended_use} Licence: {report.recipe.licence}.",
            "",
            headline(report),
            "",
            f"{teacher} names the right class in {shown(figures.teacher_accuracy)} of the test items; the "
            f"student{smaller} ({figures.student_parameters:,} parameters), in {shown(figures.student_accuracy)}.",
        ]
    )


def _variants(report: Report) -> str:
    figures = report.figures
    share = figures.int8_agreement
    agreement = "" if share is None else f" The int8 files name the same class in {share:.2%} of the items."
    rows = [
        "## Variants",
        "",
        "| variant | quantized by | engine | bytes | accuracy (95% CI) | one run "
        "| agrees with teacher | with PyTorch |",
        "| --- | --- | --- | ---: | --- | ---: | ---: | ---: |",
        *(_variant(variant) for variant in figures.variants),
        "",
        f"Accuracy on {figures.student_accuracy.n} test items that took no part in training, choosing or "
        "calibrating; intervals are Wilson's. One run is the median of many with batch 1 and one thread on "
        f"{figures.variants[0].latency.machine}.{agreement}",
    ]
    return "\n".join(rows)


def _candidates(report: Report) -> str:
    if not report.candidates:
        return ""
    rows = [
        "## How the student was chosen",
        "",
        "| network | validation | parameters | ONNX bytes | TFLite bytes | one run |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in trained(report.candidates):
        cost, accuracy = each.cost, percent(each.validation or 0.0)
        cells = (described(each.network), accuracy, f"{cost.parameters:,}", f"{cost.onnx_bytes:,}")
        rows.append(row(*cells, f"{cost.tflite_bytes:,}", f"{cost.latency_us:.0f} us"))
    return "\n".join(rows)


def _variant(variant: VariantFigures) -> str:
    return row(
        variant.id,
        quantized_by(variant.method),
        variant.engine,
        f"{variant.bytes:,}",
        shown(variant.accuracy),
        f"{variant.latency.p50_us:.0f} us",
        f"{variant.agreement.value:.1%}",
        f"{variant.parity:.1%}",
    )


def _limits(report: Report) -> str:
    rows = [
        "## Limits",
        "",
        "| limit | variant | measured | limit | kept |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for each in report.verdicts:
        kept = "yes" if each.passed else "no"
        rows.append(row(each.gate, each.subject, f"{each.measured:.6g}", f"{each.limit:.6g}", kept))
    return "\n".join(rows)


def _layers(report: Report) -> str:
    layers, variants = report.layers, list(report.layers.bytes)
    rows = [
        "## What quantization does to each layer",
        "",
        row("layer", "computes", *(f"{variant}: SNR dB, of its own, largest error" for variant in variants)),
        row("---", "---", *("---" for _ in variants)),
    ]
    for layer in layers.layers:
        cells = []
        for variant in variants:
            own = layer.variants.get(variant)
            cells.append(
                "not told apart"
                if own is None
                else f"{decibels(own.snr_db)}, {_own(own.own_snr_db)}, {own.largest_error:.3g}"
            )
        rows.append(row(layer.name, " + ".join(layer.kinds), *cells))
    rows += [
        "",
        f"Signal-to-noise ratio of each layer's values, quantized against float, on {layers.items} validation items. "
        '"Of its own" takes away the error that came in with the layer\'s inputs: the least one is where to look.',
    ]
    return "\n".join(rows)


def _quantization(report: Report) -> str:
    return quantization_section(report.integer_types, report.sensitivity)


def _own(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _classes(report: Report) -> str:
    mistakes = report.mistakes
    worst = sorted(mistakes.classes, key=lambda each: each.accuracy[mistakes.shipped].value)
    rows = [
        "## Class by class",
        "",
        f"| class | test items | teacher | student | {mistakes.shipped} | teacher right, it wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in worst[:_WORST_CLASSES]:
        models = (TEACHER, STUDENT, mistakes.shipped)
        shares = [f"{each.accuracy[model].value:.1%}" for model in models]
        rows.append(row(each.name, str(each.accuracy[TEACHER].n), *shares, str(each.lost)))
    names = report.data.classes
    pairs = [
        f"{plain(names[each.true])} taken for {plain(names[each.named])} ({each.items})"
        for each in mistakes.confusions[:5]
    ]
    flipped = [
        f"{variant}: {each.lost} lost, {each.gained} gained, {each.neither} from one wrong class to another"
        for variant, each in mistakes.flipped.items()
    ]
    rows += [
        "",
        f"The {min(len(worst), _WORST_CLASSES)} least accurate of {len(worst)} classes. "
        f"Most confused: {', '.join(pairs) or 'none'}. Items whose class quantization changed: "
        f"{'; '.join(flipped) or 'none'}.",
    ]
    return "\n".join(rows)


def _confidence(report: Report) -> str:
    fitted, evidence = report.fitted, report.fitted.calibration
    return "\n".join(
        [
            "## Confidence",
            "",
            f"Temperature {fitted.temperature:.3g}, fitted on the {evidence.n} validation items: expected "
            f"calibration error {evidence.ece_before:.3f} before, {evidence.ece_after:.3f} after; negative log "
            f"likelihood {evidence.nll_before:.4f} before, {evidence.nll_after:.4f} after.",
        ]
    )


def _origin(report: Report) -> str:
    data = report.data
    splits = ", ".join(f"{count} {split}" for split, count in data.splits.items())
    tools = ", ".join(f"{name} {version}" for name, version in sorted(report.tools.items()))
    lines = [
        "## Origin",
        "",
        f"- Data: {len(data.classes)} classes, {splits}; digest `{data.sha256[:16]}`; {data.duplicates} duplicates "
        f"(never in two splits), {len(data.unreadable)} unreadable.",
        f"- Recipe: digest `{report.recipe.digest()[:16]}`, seed {report.recipe.seed}.",
        f"- Tools: {tools}.",
    ]
    return "\n".join(lines)


def row(*cells: str) -> str:
    """Return one row of a table."""
    return "| " + " | ".join(plain(cell) for cell in cells) + " |"


def plain(text: str) -> str:
    """Return text that neither breaks a table nor becomes markup: class names are anybody's."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
