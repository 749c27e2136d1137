"""Figures drawn as SVG, in whatever width there is.

Positions along a chart are percentages and sizes across it are pixels, so that its words keep their size.
Colours come from the style sheet by class: `neg`, `mid`, `pos` for a sentiment, `any` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kallglot_async.report.element import Markup, el, join
from kallglot_async.report.words import MINUS

__all__ = ["Column", "Point", "balance", "bar", "columns_chart", "line_chart", "tone"]

_MOST_COUNTED = 16  # columns that have room for their counts above them, on a phone too
_MOST_DOTS = 40
_HEAD, _PLOT, _FOOT = 18, 220, 22  # pixels: counts, columns, words
_GUTTER = 9.0  # percent, for the words at the left of a line


class Column(msgspec.Struct, frozen=True):
    """A column from `start` to `end`, as shares of the width, its count, and its colour."""

    start: float
    end: float
    count: int
    tone: str = "any"


class Point(msgspec.Struct, frozen=True):
    """A point: `x` is a share of the width, `y` from -1 to 1; `low` and `high` bound a band around the line."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


def tone(sentiment: float | None) -> str:
    """Return the colour of a sentiment."""
    if sentiment is None or abs(sentiment) < 0.005:
        return "mid"
    return "pos" if sentiment > 0 else "neg"


def bar(share: float, tone: str = "any") -> Markup:
    """Return a bar for a cell of a table, which says its figure itself."""
    width = 100.0 * min(1.0, max(0.0, share))
    return el("svg", el("rect", width=f"{width:.3g}%", height="100%", class_=tone), class_="bar", aria_hidden="true")


def balance(figure: float) -> Markup:
    """Return a bar from the middle to the left or right, for a figure from -1 to 1 in a cell of a table."""
    length = 50.0 * min(1.0, abs(figure))
    start = 50.0 - length if figure < 0 else 50.0
    return el(
        "svg",
        el("rect", x=f"{start:.3g}%", width=f"{length:.3g}%", height="100%", class_=tone(figure)),
        el("line", x1="50%", x2="50%", y2="100%"),
        class_="bar",
        aria_hidden="true",
    )


def columns_chart(columns: Sequence[Column], *, ticks: Sequence[tuple[float, str]], label: str) -> Markup:
    """Return columns side by side, with their counts where there is room.

    Args:
        columns: From the left.
        ticks: Words under the columns, each at a share of the width.
        label: What is seen, in words.
    """
    # Never 0, as heights are divided by it.
    most = max((column.count for column in columns), default=0) or 1
    drawn: list[Markup] = []
    for column in columns:
        height = _PLOT * column.count / most
        width = 100.0 * (column.end - column.start)
        gap = min(0.4, width / 8)
        drawn.append(
            el(
                "rect",
                x=f"{100 * column.start + gap:.4g}%",
                y=_HEAD + _PLOT - height,
                width=f"{width - 2 * gap:.4g}%",
                height=height,
                class_=column.tone,
            )
        )
        if len(columns) <= _MOST_COUNTED and column.count:
            middle = f"{50 * (column.start + column.end):.4g}%"
            drawn.append(el("text", _short(column.count), x=middle, y=_HEAD + _PLOT - height - 5, class_="m"))
    base = _HEAD + _PLOT
    return _chart(
        base + _FOOT, label, *drawn, el("line", x1=0, x2="100%", y1=base, y2=base), _words(ticks, base + _FOOT - 5)
    )


def line_chart(points: Sequence[Point], *, ticks: Sequence[tuple[float, str]], label: str) -> Markup:
    """Return a line of sentiments from -1 to 1, with the band around it where the points have one.

    Args:
        points: From the left.
        ticks: Words under the line, each at a share of the width.
        label: What is seen, in words.
    """
    base = _HEAD + _PLOT
    frame = [
        part
        for level, word in ((1, "+1"), (0, "0"), (-1, MINUS + "1"))
        for part in (
            el("line", x1=f"{_GUTTER}%", x2="100%", y1=_y(level), y2=_y(level)),
            el("text", word, x=f"{_GUTTER - 2}%", y=_y(level) + 4, class_="e"),
        )
    ]
    dots = [
        el("circle", cx=f"{_x(point.x):.4g}%", cy=_y(point.y), r=3, class_=tone(point.y))
        for point in points
        if len(points) <= _MOST_DOTS
    ]
    # Stretched to whatever width there is; the strokes are not, as the style sheet has it (`vector-effect`).
    drawing = el(
        "svg",
        *_band(points),
        el("path", d=_path([(point.x, point.y) for point in points]), class_="course"),
        x=f"{_GUTTER}%",
        y=_HEAD,
        width=f"{100 - _GUTTER}%",
        height=_PLOT,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
    )
    places = [((_x(place)) / 100.0, word) for place, word in ticks]
    return _chart(base + _FOOT, label, *frame, drawing, *dots, _words(places, base + _FOOT - 3))


def _band(points: Sequence[Point]) -> list[Markup]:
    upper = [(point.x, point.high) for point in points if point.high is not None]
    lower = [(point.x, point.low) for point in points if point.low is not None]
    return [el("path", d=_path([*upper, *reversed(lower)]), class_="band")] if upper else []


def _path(places: Sequence[tuple[float, float]]) -> str:
    """Return a path through the places in a square of 100 by 100, where 1 is at its top and -1 at its bottom."""
    marks = [f"{100 * x:.4g} {50 - 50 * _within(y):.4g}" for x, y in places]
    return f"M{'L'.join(marks)}" if marks else ""


def _chart(height: int, label: str, *parts: Markup) -> Markup:
    return el("svg", *parts, class_="chart", height=height, width="100%", role="img", aria_label=label)


def _words(ticks: Sequence[tuple[float, str]], y: int) -> Markup:
    """The words under a chart; the first and the last one end where the chart ends."""
    return join(
        el("text", word, x=f"{100 * place:.4g}%", y=y, class_="s" if place <= 0.1 else "e" if place >= 1 else "m")
        for place, word in ticks
    )


def _x(place: float) -> float:
    return _GUTTER + (100.0 - _GUTTER) * place


def _y(level: float) -> float:
    return _HEAD + _PLOT * (0.5 - 0.5 * _within(level))


def _within(level: float) -> float:
    return min(1.0, max(-1.0, level))


def _short(count: int) -> str:
    """The count in four characters at most, up to a million: columns are narrow."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
