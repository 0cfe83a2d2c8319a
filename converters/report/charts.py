"""Which charts the page shows, from what the report holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from converters.report.document import Report, percent
from converters.report.mistakes import STUDENT, TEACHER
from converters.report.plane_chart import Plane, Point, heat_chart, plane_chart
from converters.report.rows_chart import Axis, Dot, Row, bar_chart, dot_chart
from converters.verify.layers import LayerFigures, Layers
from converters.verify.proportion import shown
from edgeinfer.bundle import Proportion

_MOST_CLASSES, _LARGEST_TABLE, _MOST_LAYERS = 30, 30, 60
# Series by number, so that one thing has one mark on the whole page.
_OF_TEACHER, _OF_STUDENT, _OF_SHIPPED = 1, 2, 0


def accuracy_chart(report: Report) -> Markup:
    """Draw what share each model names rightly, with intervals."""
    figures = report.figures
    models = [
        ("teacher", figures.teacher_accuracy, _OF_TEACHER),
        ("student, PyTorch", figures.student_accuracy, _OF_STUDENT),
    ]
    models += [(each.id, each.accuracy, _OF_SHIPPED) for each in figures.variants]
    rows = [Row(name, (_dot(share, series, name),)) for name, share, series in models]
    limit = accuracy_limit(report)
    low = min(share.low for _, share, _ in models)
    high = max(share.high for _, share, _ in models)
    low = low if limit is None else min(low, limit)
    margin = max(0.005, (high - low) * 0.08)
    axis = Axis(
        "right on the test split, with 95% interval",
        max(0, low - margin),
        min(1, high + margin),
        _points(high - low),
        limit,
    )
    told = "; ".join(f"{name} {shown(share)}" for name, share, _ in models)
    return dot_chart(rows, axis, "Accuracy of every model", told)


def accuracy_limit(report: Report) -> float | None:
    """Return the least accuracy allowed, if it is near enough to be drawn beside what was measured."""
    limit = report.recipe.gates.min_accuracy
    lowest = min(each.accuracy.low for each in report.figures.variants)
    return limit if limit > lowest - 0.2 else None


def size_limit(report: Report) -> int | None:
    """Return the most bytes allowed, if it is near enough to be drawn."""
    limit, largest = report.recipe.gates.max_bytes, max(each.bytes for each in report.figures.variants)
    return limit if limit is not None and limit < 2 * largest else None


def size_chart(report: Report) -> Markup:
    """Draw the size of every file."""
    variants = report.figures.variants
    largest = max(each.bytes for each in variants)
    limit = size_limit(report)
    rows = [
        Row(each.id, (Dot(each.bytes / 1000, tip=f"{each.id}: {each.bytes:,} bytes"),), f"{each.bytes:,}")
        for each in variants
    ]
    end = max(largest, limit or 0) / 1000 * 1.05
    axis = Axis("thousand bytes", 0, end, lambda tick: f"{tick:g}", limit and limit / 1000)
    told = "; ".join(f"{each.id} {each.bytes:,} bytes" for each in variants)
    return bar_chart(rows, axis, "Size of every file", told)


def time_chart(report: Report) -> Markup:
    """Draw the time of one run of every variant."""
    variants = report.figures.variants
    times = [each.latency.p50_us for each in variants]
    unit, factor = ("ms", 1000.0) if max(times) >= 10_000 else ("us", 1.0)
    rows = [
        Row(each.id, (Dot(time / factor),), f"{time / factor:.3g} {unit}")
        for each, time in zip(variants, times, strict=True)
    ]
    axis = Axis(f"{unit} a run, median", 0, max(times) / factor * 1.05, lambda tick: f"{tick:g}")
    told = "; ".join(f"{row.name} {row.note}" for row in rows)
    return bar_chart(rows, axis, "Time of one run", told)


def layer_variants(layers: Layers) -> list[str]:
    """Return the quantized variants to draw: those that show the same as an earlier one are left out."""
    chosen: list[str] = []
    for variant in layers.bytes:
        if any(variant in row.variants for row in layers.layers) and not any(
            _format(variant) == _format(other) and _alike(layers, variant, other) for other in chosen
        ):
            chosen.append(variant)
    return chosen[:4]


def snr_chart(layers: Layers) -> Markup:
    """Draw the signal-to-noise ratio of every layer of every quantized variant."""
    variants, rows = layer_variants(layers), []
    worst = {row.name for variant in variants if (row := layers.worst(variant)) is not None}
    for layer in layers.layers[:_MOST_LAYERS]:
        dots = tuple(
            Dot(own.snr_db, series=at, tip=f"{layer.name}, {variant}: {own.snr_db:.1f} dB")
            for at, variant in enumerate(variants)
            if (own := layer.variants.get(variant)) is not None and own.snr_db is not None
        )
        rows.append(Row(layer.name, dots, strong=layer.name in worst))
    values = [dot.value for row in rows for dot in row.dots]
    axis = Axis(
        "signal over error, dB (more is better)",
        min(0.0, min(values, default=0.0)),
        max(50.0, max(values, default=0.0)),
        lambda tick: f"{tick:.0f}",
    )
    told = "; ".join(
        f"{row.name} {' and '.join(f'{dot.value:.0f}' for dot in row.dots) or 'exact'}" for row in rows
    )
    return dot_chart(rows, axis, f"Signal-to-noise ratio by layer, {' and '.join(variants)}", told)


def bytes_chart(layers: Layers) -> Markup:
    """Draw how many bytes each layer takes in every quantized file, and what is left over."""
    variants, rows = layer_variants(layers), []
    for layer in layers.layers[:_MOST_LAYERS]:
        stored = [(at, layer.variants.get(variant)) for at, variant in enumerate(variants)]
        if any(own is not None and own.bytes for _, own in stored):
            rows.append(
                _stored_row(layer.name, [(at, own.bytes if own else 0) for at, own in stored], variants)
            )
    # Layers with equal constants may share one copy in the file.
    rest = [
        (at, max(0, layers.bytes[variant] - _told(layers, variant))) for at, variant in enumerate(variants)
    ]
    rows.append(_stored_row("graph and the rest", rest, variants))
    most = max(dot.value for row in rows for dot in row.dots)
    axis = Axis("thousand bytes", 0, most * 1.05, lambda tick: f"{tick:g}")
    told = "; ".join(f"{row.name} {row.note}" for row in rows)
    return bar_chart(rows, axis, f"Bytes by layer, {' and '.join(variants)}", told)


def classes_chart(report: Report) -> Markup:
    """Draw the accuracy on each class: teacher, student, and the shipped variant with its interval."""
    mistakes = report.mistakes
    order = sorted(mistakes.classes, key=lambda each: each.accuracy[mistakes.shipped].value)[:_MOST_CLASSES]
    rows, low = [], 1.0
    for each in order:
        shipped = each.accuracy[mistakes.shipped]
        dots = (
            Dot(
                each.accuracy[TEACHER].value,
                series=_OF_TEACHER,
                tip=f"teacher {shown(each.accuracy[TEACHER])}",
            ),
            Dot(
                each.accuracy[STUDENT].value,
                series=_OF_STUDENT,
                tip=f"student {shown(each.accuracy[STUDENT])}",
            ),
            _dot(shipped, _OF_SHIPPED, mistakes.shipped),
        )
        low = min(low, shipped.low, *(dot.value for dot in dots))
        rows.append(Row(each.name, dots))
    axis = Axis("right on the test split", max(0, low - 0.01), 1.005, _points(1 - low))
    told = "; ".join(f"{each.name} {shown(each.accuracy[mistakes.shipped])}" for each in order)
    return dot_chart(rows, axis, f"Accuracy by class, {mistakes.shipped} with 95% interval", told)


def confusion_chart(report: Report) -> Markup | None:
    """Draw the table of confusions of the shipped variant; None where it has too many classes."""
    mistakes, names = report.mistakes, report.data.classes
    if len(names) > _LARGEST_TABLE:
        return None
    counts = {(each.true, each.named): each.items for each in mistakes.confusions}
    for each in mistakes.classes:
        share = each.accuracy[mistakes.shipped]
        at = names.index(each.name)
        counts[at, at] = round(share.value * share.n)
    wrong = [
        f"{names[each.true]} named {names[each.named]} {each.items} times" for each in mistakes.confusions[:8]
    ]
    told = f"Most confused: {'; '.join(wrong) or 'none'}"
    return heat_chart(names, counts, f"Confusions of {mistakes.shipped}", told)


def reliability_chart(report: Report) -> Markup:
    """Draw accuracy over confidence, before and after the temperature."""
    series = []
    for bins in (report.reliability.before, report.reliability.after):
        total = sum(each.items for each in bins) or 1
        series.append(
            [
                Point(
                    each.confidence,
                    each.accuracy.value,
                    2.5 + 7 * (each.items / total) ** 0.5,
                    f"{each.items} answers, mean confidence {percent(each.confidence)}, right {shown(each.accuracy)}",
                    each.accuracy.low,
                    each.accuracy.high,
                )
                for each in bins
            ]
        )
    plane = Plane(
        "confidence", "share that is right", (0, 1), (0, 1), _percent_tick, _percent_tick, diagonal=True
    )
    told = "; ".join(
        f"{name}: {_told_bins(points)}" for name, points in zip(("before", "after"), series, strict=True)
    )
    return plane_chart(plane, series, "Confidence against accuracy", told, marks=True)


def training_charts(report: Report) -> list[tuple[str, Markup]]:
    """Draw loss and validation accuracy over the epochs, two charts a training, each with its title."""
    charts = []
    for name, epochs in report.histories.items():
        if len(epochs) < 2:
            continue
        ends = (float(epochs[0].epoch), float(epochs[-1].epoch))
        losses, shares = [each.loss for each in epochs], [each.validation for each in epochs]
        for values, up, text in ((losses, "mean loss", "{:.3g}"), (shares, "right on validation", "{:.0%}")):
            spread = max(values) - min(values) or abs(values[0]) or 1.0
            low = max(0.0, min(values) - 0.05 * spread)
            high = max(values) + 0.05 * spread
            points = [Point(float(each.epoch), value) for each, value in zip(epochs, values, strict=True)]
            fine = "{:.1%}" if text == "{:.0%}" and spread < 0.05 else text
            plane = Plane("epoch", up, ends, (low, high), "{:.0f}".format, fine.format)
            told = f"from {text.format(values[0])} to {text.format(values[-1])} in {len(epochs)} epochs"
            title = f"{name}: {up} by epoch"
            charts.append((title, plane_chart(plane, [points], title, told, marks=False)))
    return charts


def _percent_tick(value: float) -> str:
    """Return a share as a tick's text."""
    return f"{value:.0%}"


def _dot(share: Proportion, series: int, name: str) -> Dot:
    return Dot(share.value, share.low, share.high, series, f"{name}: {shown(share)} of {share.n}")


def _points(span: float) -> Callable[[float], str]:
    """Return how ticks of a share are shown, with as many digits as they differ in."""
    return "{:.1%}".format if span < 0.05 else _percent_tick


def _stored_row(name: str, stored: Sequence[tuple[int, int]], variants: Sequence[str]) -> Row:
    dots = tuple(
        Dot(size / 1000, series=at, tip=f"{name}, {variants[at]}: {size:,} bytes") for at, size in stored
    )
    return Row(name, dots, " / ".join(f"{size:,}" for _, size in stored))


def _told(layers: Layers, variant: str) -> int:
    """Return the bytes of a file that belong to a layer."""
    return sum(row.variants[variant].bytes for row in layers.layers if variant in row.variants)


def _alike(layers: Layers, one: str, other: str) -> bool:
    """Tell whether two files lose the same in every layer: they hold the same integers."""
    return all(
        _same(row.variants[one], row.variants[other])
        for row in layers.layers
        if one in row.variants and other in row.variants
    )


def _same(one: LayerFigures, other: LayerFigures) -> bool:
    if one.snr_db is None or other.snr_db is None:
        return one.snr_db == other.snr_db
    return abs(one.snr_db - other.snr_db) < 0.05


def _format(variant: str) -> str:
    return variant.partition("-")[0]


def _told_bins(points: Sequence[Point]) -> str:
    return ", ".join(f"{percent(each.y)} right at {percent(each.x)}" for each in points)
