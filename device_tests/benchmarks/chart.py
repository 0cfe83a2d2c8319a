"""The table as a picture: each figure as a share of its budget."""

from __future__ import annotations

from collections.abc import Sequence

from converters.report.svg import Drawing, Scale, shortened
from device_tests.benchmarks.compare import Row

_WIDTH, _ROW, _TOP, _BOTTOM = 900.0, 26.0, 34.0, 46.0
_LEFT, _RIGHT = 430.0, 200.0
_MOST = 2.0
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --grid: #ddd; --kept: #2a7f62; --missed: #c0392b; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eee; --grid: #444; --kept: #5cc3a0; --missed: #ff7b6b; --paper: #16181c; }
}
svg { background: var(--paper); font: 12px system-ui, sans-serif; }
text { fill: var(--ink); } .grid { stroke: var(--grid); }
.limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; }
.kept { fill: var(--kept); } .missed { fill: var(--missed); } .interval { stroke: var(--ink); stroke-width: 2; }
"""


def drawn(rows: Sequence[Row], machine: str) -> str:
    """Return an SVG file: a bar for each row with a budget, which stands at 1; spread as a line."""
    known = [row for row in rows if row.budget is not None]
    bottom = _TOP + _ROW * len(known)
    title = f"What edgeinfer costs and gains, as shares of its budgets: {machine}"
    drawing = Drawing(_WIDTH, bottom + _BOTTOM, title, "Left of the dashed line a budget is kept.")
    drawing.text(12, 16, title, kind="title")
    scale = Scale(0.0, _MOST, _LEFT, _WIDTH - _RIGHT)
    for tick in scale.ticks(4):
        drawing.line(scale(tick), _TOP, scale(tick), bottom)
        drawing.text(scale(tick), bottom + 14, f"{tick:g}", anchor="middle", kind="tick")
    drawing.line(scale(1.0), _TOP - 6, scale(1.0), bottom, "limit")
    drawing.text(
        (scale.start + scale.end) / 2, bottom + 34, "share of the budget; 1 is the budget", anchor="middle"
    )
    for at, row in enumerate(known):
        y = _TOP + _ROW * (at + 0.5)
        drawing.text(_LEFT - 10, y, shortened(row.what, 60), anchor="end")
        value, low, high = (_share(row, each) for each in (row.figure, row.low, row.high))
        kind = "kept" if row.holds else "missed"
        drawing.bar(scale.start, y - 7, scale(value) - scale.start, 14, kind, tip=row.note)
        drawing.line(scale(low), y, scale(high), y, "interval")
        bound = f"{'at least' if row.least else 'at most'} {row.budget:g}"
        drawing.text(
            scale(max(value, low, high)) + 8, y, f"{row.figure:.2f} {row.kind}, {bound}", kind="value"
        )
    body = str(drawing.markup()).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, _, rest = body.partition(">")
    return f"{head}><style>{_STYLE}</style>{rest}"


def _share(row: Row, figure: float) -> float:
    """Return how much of the budget a figure takes; of a lower bound the inverse, so that less is better throughout."""
    budget = row.budget or 1.0
    if row.least:
        return budget / figure if figure > 0 else _MOST
    return max(0.0, figure / budget)
