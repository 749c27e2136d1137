"""Line charts as SVG, without a library: text stays text, and the colours follow the reader's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

WIDTH, HEIGHT = 760, 360  # the usual height
LEFT, RIGHT, TOP, BOTTOM = 56, 250, 22, 46  # margins; names of the lines stand at the right
LEFT_OF_NAMES = 190
LINE = 17  # between two names

STYLE = """
.kallglot-picture { --ink: #1f2328; --quiet: #59636e; --grid: #d8dee4; --l0: #0a5fc2; --l1: #1a7f37; --l2: #8a4600;
  --l3: #b3261e; --l4: #6e3fc3; font: 13px system-ui, sans-serif; max-width: 100%; height: auto }
@media (prefers-color-scheme: dark) { .kallglot-picture { --ink: #e6edf3; --quiet: #9aa4af; --grid: #3d444d;
  --l0: #6cb0ff; --l1: #57c96c; --l2: #f0a35e; --l3: #ff8f86; --l4: #c3a6ff } }
"""


@dataclass(frozen=True)
class Line:
    """One line: what it is called, its points in the units of the axes, and whether every point is marked."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows, where it ends, and where it has marks, by their figures or by names. It begins at zero."""

    name: str
    end: float
    marks: Sequence[float]
    names: Mapping[float, str] = field(default_factory=dict)


def steps(moments: Sequence[float], whole: int, end: float) -> list[tuple[float, float]]:
    """Return the share in percent of what has come by each moment, as a staircase that goes on to `end`."""
    points, share = [(0.0, 0.0)], 0.0
    for count, at in enumerate(sorted(moments), 1):
        if at > end:
            break
        points += [(at, share), (at, share := 100.0 * count / whole)]
    return [*points, (end, share)]


def chart(
    title: str, description: str, x: Axis, y: Axis, lines: Sequence[Line], *, height: int = HEIGHT, moment: str = ""
) -> str:
    """Return one chart. `title` and `description` are for those who do not see it.

    Args:
        title: What is shown.
        description: What is to be seen.
        x: The axis to the right.
        y: The axis upwards.
        lines: At most five, in the order of their colours.
        height: Of the whole.
        moment: `NUMBER name`: where a dashed line is to be.
    """
    root = _element(
        None, "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img",
        width=WIDTH, height=height, class_="kallglot-picture",
    )  # fmt: skip
    _element(root, "title", title)
    _element(root, "desc", description)
    _element(root, "style", STYLE)
    left, right, bottom = LEFT_OF_NAMES if y.names else LEFT, WIDTH - RIGHT, height - BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + point[0] / x.end * (right - left), bottom - point[1] / y.end * (bottom - TOP)

    for mark in y.marks:
        _, at = place((0.0, mark))
        _element(root, "line", x1=left, x2=right, y1=at, y2=at, style="stroke: var(--grid)")
        _text(root, y.names.get(mark, f"{mark:g}"), left - 8, at + 4, anchor="end")
    for mark in x.marks:
        at, _ = place((mark, 0.0))
        _element(root, "line", x1=at, x2=at, y1=bottom, y2=bottom + 5, style="stroke: var(--quiet)")
        _text(root, f"{mark:g}", at, bottom + 19, anchor="middle")
    _text(root, x.name, right, bottom + 38, anchor="end")
    _text(root, y.name, 4, 13)
    if moment:
        seconds, _, name = moment.partition(" ")
        across, _ = place((float(seconds), 0.0))
        _element(
            root, "line", x1=across, x2=across, y1=TOP, y2=bottom, style="stroke: var(--quiet)", stroke_dasharray="4"
        )
        _text(root, name, across, 13, anchor="middle")
    for number, line in enumerate(lines):
        _draw(root, [place(point) for point in line.points], number, dots=line.dots)
    ends = [(place(line.points[-1])[1], number) for number, line in enumerate(lines)]
    above = -float(LINE)
    for at, number in sorted(ends):
        above = max(at, above + LINE)
        _text(root, lines[number].name, right + 10, above + 4, colour=f"var(--l{number})")
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode") + "\n"


def _draw(root: ET.Element, points: list[tuple[float, float]], number: int, *, dots: bool) -> None:
    colour = f"var(--l{number})"
    if dots:
        for at, height in points:
            _element(root, "circle", cx=at, cy=height, r=3.5, style=f"fill: {colour}")
        return
    path = " ".join(f"{at:.1f},{height:.1f}" for at, height in points)
    _element(root, "polyline", points=path, style=f"fill: none; stroke: {colour}; stroke-width: 2.2")


def _text(
    root: ET.Element, text: str, x: float, y: float, *, anchor: str = "start", colour: str = "var(--quiet)"
) -> None:
    _element(root, "text", text, x=x, y=y, text_anchor=anchor, style=f"fill: {colour}")


def _element(parent: ET.Element | None, tag: str, text: str | None = None, **attributes: str | float) -> ET.Element:
    named = {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else f"{value:g}"
        for name, value in attributes.items()
    }
    element = ET.Element(tag, named) if parent is None else ET.SubElement(parent, tag, named)
    element.text = text
    return element
