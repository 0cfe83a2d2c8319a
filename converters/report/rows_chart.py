"""Charts with one row a thing: dots with intervals, bars, dots of several series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from converters.report.svg import Drawing, Scale, shortened

_WIDTH = 460.0
_ROW = 24.0
_TOP, _BOTTOM, _RIGHT = 8.0, 40.0, 22.0
_LETTER, _BOLD = 6.6, 1.1
_LONGEST = 24


@dataclass(frozen=True)
class Dot:
    """A value with its interval, of a series."""

    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0
    tip: str = ""


@dataclass(frozen=True)
class Row:
    """One row: its name, what stands in it, and a note at its right end."""

    name: str
    dots: tuple[Dot, ...] = ()
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Axis:
    """The axis under the rows.

    Attributes:
        title: What is measured, with its unit.
        low: Left end.
        high: Right end.
        shown: From a tick's value to its text.
        limit: Where a limit of the recipe stands, if it has one.
    """

    title: str
    low: float
    high: float
    shown: Callable[[float], str]
    limit: float | None = None


def dot_chart(rows: Sequence[Row], axis: Axis, title: str, description: str) -> Markup:
    """Draw dots and intervals, one row a thing."""
    drawing, scale, places = _frame(rows, axis, title, description)
    for row, y in zip(rows, places, strict=True):
        for at, dot in enumerate(row.dots):
            # Dots of several series lie a little apart, so that equal values are seen.
            own = y + (at - (len(row.dots) - 1) / 2) * 7
            if dot.low is not None and dot.high is not None:
                drawing.line(scale(dot.low), own, scale(dot.high), own, f"interval s{dot.series}")
            drawing.mark(scale(dot.value), own, dot.series, tip=dot.tip)
    return drawing.markup()


def bar_chart(rows: Sequence[Row], axis: Axis, title: str, description: str) -> Markup:
    """Draw a bar a row from the first dot's value, with the row's note behind it."""
    drawing, scale, places = _frame(rows, axis, title, description)
    for row, y in zip(rows, places, strict=True):
        for at, dot in enumerate(row.dots):
            height = 14 if len(row.dots) == 1 else 8
            own = y + (at - (len(row.dots) - 1) / 2) * (height + 1)
            end = scale(dot.value)
            drawing.bar(
                scale.start, own - height / 2, end - scale.start, height, f"bar s{dot.series}", tip=dot.tip
            )
        longest = max((scale(dot.value) for dot in row.dots), default=scale.start)
        drawing.text(longest + 6, y, row.note, kind="value")
    return drawing.markup()


def legend(names: Sequence[str]) -> Markup:
    """Draw the marks of series beside their names, as one line of HTML."""
    parts = []
    for series, name in enumerate(names):
        drawing = Drawing(14, 14, name, "")
        drawing.mark(7, 7, series)
        parts.append(Markup("<span>{}{}</span>").format(drawing.markup(silent=True), name))
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(parts))


def _frame(
    rows: Sequence[Row], axis: Axis, title: str, description: str
) -> tuple[Drawing, Scale, list[float]]:
    longest = max((len(shortened(row.name, _LONGEST)) for row in rows), default=0)
    left = 12 + longest * _LETTER * _BOLD
    spread = max((len(row.dots) for row in rows), default=1)
    height = max(_ROW, 9.0 * spread + 8)
    bottom = _TOP + height * len(rows)
    drawing = Drawing(_WIDTH, bottom + _BOTTOM, title, description)
    noted = max((len(row.note) for row in rows), default=0)
    # Notes stand behind bars, the longest one too.
    right = _RIGHT + (noted * _LETTER if noted else 0)
    scale = Scale(axis.low, axis.high, left, _WIDTH - right)
    for tick in scale.ticks():
        drawing.line(scale(tick), _TOP, scale(tick), bottom)
        drawing.text(scale(tick), bottom + 12, axis.shown(tick), anchor="middle", kind="tick")
    drawing.text((scale.start + scale.end) / 2, bottom + 30, axis.title, anchor="middle", kind="axis")
    if axis.limit is not None and axis.low <= axis.limit <= axis.high:
        drawing.line(scale(axis.limit), _TOP, scale(axis.limit), bottom, "limit")
    places = [_TOP + height * (at + 0.5) for at in range(len(rows))]
    for row, y in zip(rows, places, strict=True):
        kind = "label strong" if row.strong else "label"
        drawing.text(left - 8, y, shortened(row.name, _LONGEST), anchor="end", kind=kind)
    return drawing, scale, places
