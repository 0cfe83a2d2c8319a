"""Charts with two axes: curves over epochs, accuracy over confidence, the table of confusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from converters.report.svg import Drawing, Scale, shortened

_WIDTH, _HEIGHT = 460.0, 260.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 70.0, 12.0, 22.0, 44.0


@dataclass(frozen=True)
class Plane:
    """Two axes: titles, ends, and how ticks are shown."""

    across: str
    up: str
    x: tuple[float, float]
    y: tuple[float, float]
    shown_x: Callable[[float], str]
    shown_y: Callable[[float], str]
    diagonal: bool = False


@dataclass(frozen=True)
class Point:
    """A point of a series, with the interval of its height where it has one, and a label beside it."""

    x: float
    y: float
    size: float = 4.5
    tip: str = ""
    low: float | None = None
    high: float | None = None
    label: str = ""


def plane_chart(
    plane: Plane, series: Sequence[Sequence[Point]], title: str, description: str, *, marks: bool
) -> Markup:
    """Draw a series as marks with intervals, or as a curve."""
    drawing = Drawing(_WIDTH, _HEIGHT, title, description)
    across = Scale(*plane.x, _LEFT, _WIDTH - _RIGHT)
    up = Scale(*plane.y, _HEIGHT - _BOTTOM, _TOP)
    for tick in across.ticks():
        drawing.line(across(tick), up.start, across(tick), up.end)
        drawing.text(across(tick), up.start + 12, plane.shown_x(tick), anchor="middle", kind="tick")
    for tick in up.ticks():
        drawing.line(across.start, up(tick), across.end, up(tick))
        drawing.text(across.start - 6, up(tick), plane.shown_y(tick), anchor="end", kind="tick")
    drawing.text((across.start + across.end) / 2, up.start + 32, plane.across, anchor="middle", kind="axis")
    drawing.text(12, (up.start + up.end) / 2, plane.up, anchor="middle", kind="axis", turn=-90)
    if plane.diagonal:
        drawing.line(across(plane.x[0]), up(plane.y[0]), across(plane.x[1]), up(plane.y[1]), "limit")
    for number, points in enumerate(series):
        if not marks:
            drawing.curve([(across(each.x), up(each.y)) for each in points], number)
            continue
        for each in points:
            if each.low is not None and each.high is not None:
                drawing.line(
                    across(each.x), up(each.low), across(each.x), up(each.high), f"interval s{number}"
                )
            drawing.mark(across(each.x), up(each.y), number, size=each.size, tip=each.tip)
            if each.label:
                left = across(each.x) > (across.start + across.end) / 2
                beside = across(each.x) + (-9 if left else 9)
                drawing.text(beside, up(each.y), each.label, anchor="end" if left else "start", kind="tick")
    return drawing.markup()


def heat_chart(
    names: Sequence[str], counts: Mapping[tuple[int, int], int], title: str, description: str
) -> Markup:
    """Draw a table of counts, rows the true class and columns the class named.

    Args:
        names: Classes.
        counts: Items by (true, named).
        title: What it is.
        description: The same for those who cannot see it.
    """
    longest = max(len(shortened(name, 14)) for name in names)
    left = 30 + longest * 6.6
    top = 26 + (longest * 6.6 if longest > 2 else 10)
    side = min(34.0, (_WIDTH - left - 8) / len(names))
    drawing = Drawing(_WIDTH, top + side * len(names) + 8, title, description)
    wrong = max((count for (true, named), count in counts.items() if true != named), default=1)
    totals = [sum(counts.get((at, other), 0) for other in range(len(names))) for at in range(len(names))]
    drawing.text(left + side * len(names) / 2, 8, "named", anchor="middle", kind="axis")
    drawing.text(8, top + side * len(names) / 2, "true", anchor="middle", kind="axis", turn=-90)
    for at, name in enumerate(names):
        middle = (at + 0.5) * side
        drawing.text(left - 6, top + middle, shortened(name, 14), anchor="end")
        turned = -90 if longest > 2 else 0
        drawing.text(
            left + middle, top - 8, shortened(name, 14), anchor="start" if turned else "middle", turn=turned
        )
    for true, name in enumerate(names):
        for named, other in enumerate(names):
            count = counts.get((true, named), 0)
            right = true == named
            share = count / (totals[true] or 1) if right else count / wrong
            tip = f"{name}, named {other}: {count} of {totals[true]}"
            x, y = left + named * side, top + true * side
            drawing.cell(x, y, side - 1.5, "right" if right else "wrong", opacity=0.06 + 0.8 * share, tip=tip)
            if count and side > 13:
                kind = "count inside" if share > 0.5 else "count"
                drawing.text(x + side / 2 - 0.75, y + side / 2, str(count), anchor="middle", kind=kind)
    return drawing.markup()
