"""The report as one HTML file that needs no network, no script and no explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.report import charts, frontier
from converters.report.document import Report, decibels, headline, percent, quantized_by
from converters.report.rows_chart import legend
from converters.report.svg import shortened
from converters.verify.gate import Verdict
from converters.verify.proportion import shown

_HERE = Path(__file__).parent
# Beyond so many rows a table is searched, not read; the JSON has them all.
_ROWS = 200
# Lists of items show so much of a class's name; the table of classes has all of it.
_LONGEST_NAME = 40


def page(report: Report, items: Mapping[int, str]) -> bytes:
    """Return the page.

    Args:
        report: What to show.
        items: What is seen of test items, from `shown_item`, by row of the test split. They are
            the user's data: leave them out (an empty mapping) of whatever travels with the bundle.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Everything is escaped: class names and the recipe's texts are anybody's.
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "shown": shown,
        "decibels": decibels,
        "quantized_by": quantized_by,
    }
    environment.filters["short"] = lambda name: shortened(name, _LONGEST_NAME)
    drawn = charts.layer_variants(report.layers)
    text = environment.get_template("page.html.jinja").render(
        report=report,
        recipe=report.recipe.published(),
        headline=headline(report),
        items=items,
        style=(_HERE / "page.css").read_text(),
        charts=charts,
        frontier=frontier,
        candidates=frontier.trained(report.candidates),
        described=frontier.described,
        layer_legend=legend(drawn),
        class_legend=legend((report.mistakes.shipped, "teacher", "student, PyTorch")),
        confidence_legend=legend(("as trained", "with the temperature")),
        layer_variants=drawn,
        worst=_worst(report, drawn),
        gates=_gates(report),
        rows=_ROWS,
    )
    return text.encode()


def _gates(report: Report) -> dict[tuple[str, float], list[Verdict]]:
    """Return the verdicts of each limit, those with a missed one first."""
    groups: dict[tuple[str, float], list[Verdict]] = {}
    for each in sorted(report.verdicts, key=lambda verdict: verdict.passed):
        groups.setdefault((each.gate, each.limit), []).append(each)
    return groups


def _worst(report: Report, variants: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return the layers that add most error of their own, with the ratio by variant."""
    found: dict[str, dict[str, float | None]] = {}
    for variant in variants:
        row = report.layers.worst(variant)
        if row is not None:
            found.setdefault(row.name, {})[variant] = row.variants[variant].own_snr_db
    return found
