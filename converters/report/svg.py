"""Charts as inline SVG: small, sharp at any size, and coloured by the page, so that dark mode reaches them.

Why no plotting library: its colours and fonts are fixed when the file is written, and a reader's setting
would not reach them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

# Marks of a series: colour and shape both differ, so that neither is needed alone.
_SHAPES = ("disc", "ring", "diamond", "square")


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Pixel.
        end: Pixel.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value, within the scale."""
        span = self.high - self.low or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values inside the scale (steps of 1, 2 or 5 times a power of ten)."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / count
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [at * step for at in range(first, last + 1)]


class Drawing:
    """One chart under construction; coordinates are pixels, downwards."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self._width, self._height = width, height
        self._title, self._description = title, description
        self._parts: list[Markup] = []

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", kind: str = "label", turn: int = 0
    ) -> None:
        """Write a text with its middle line at `y`; `kind` is its class on the page."""
        turned = Markup(' transform="rotate({} {:.1f} {:.1f})"').format(turn, x, y) if turn else Markup("")
        self._parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}" dy=".32em"{}>{}</text>').format(
                x, y, kind, anchor, turned, text
            )
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        """Draw a straight line."""
        self._parts.append(
            Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(
                x1, y1, x2, y2, kind
            )
        )

    def bar(self, x: float, y: float, width: float, height: float, kind: str, *, tip: str = "") -> None:
        """Draw a rectangle."""
        self._parts.append(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}">{}</rect>').format(
                x, y, max(width, 0.0), height, kind, _tip(tip)
            )
        )

    def cell(self, x: float, y: float, side: float, kind: str, *, opacity: float, tip: str) -> None:
        """Draw a square of a heat map."""
        self._parts.append(
            Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}" fill-opacity="{:.2f}">{}</rect>'
            ).format(x, y, side, side, kind, opacity, _tip(tip))
        )

    def mark(self, x: float, y: float, series: int, *, size: float = 4.5, tip: str = "") -> None:
        """Draw the mark of a series, numbered from 0."""
        shape, kind = _SHAPES[series % len(_SHAPES)], f"mark s{series % len(_SHAPES)}"
        if shape in ("disc", "ring"):
            drawn = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="{}">{}</circle>').format(
                x, y, size if shape == "disc" else size + 1, f"{kind} {shape}", _tip(tip)
            )
        else:
            points = _diamond(x, y, size + 1) if shape == "diamond" else _square(x, y, size)
            drawn = Markup('<polygon points="{}" class="{}">{}</polygon>').format(
                points, f"{kind} {shape}", _tip(tip)
            )
        self._parts.append(drawn)

    def curve(self, points: Iterable[tuple[float, float]], series: int) -> None:
        """Draw a line through points."""
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(Markup('<polyline points="{}" class="curve s{}"/>').format(drawn, series))

    def markup(self, *, silent: bool = False) -> Markup:
        """Return the SVG element, with a title and a description for those who cannot see it.

        Args:
            silent: Whether readers pass over it, because its text stands beside it.
        """
        opened = Markup('<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" ').format(
            self._width, self._height
        )
        if silent:
            head = opened + Markup('aria-hidden="true">')
        else:
            told = f"{self._title}. {self._description}"
            head = opened + Markup('role="img" aria-label="{}">').format(told)
        return head + Markup("").join(self._parts) + Markup("</svg>")


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters; what is left out is its middle."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def _tip(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


def _diamond(x: float, y: float, size: float) -> str:
    return f"{x:.1f},{y - size:.1f} {x + size:.1f},{y:.1f} {x:.1f},{y + size:.1f} {x - size:.1f},{y:.1f}"


def _square(x: float, y: float, size: float) -> str:
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return " ".join(f"{x + size * across:.1f},{y + size * down:.1f}" for across, down in corners)
