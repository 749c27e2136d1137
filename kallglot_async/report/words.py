"""Figures as people read them: signs, percentages, thousands; and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kallglot_async.models import facts
from kallglot_async.report.element import Child, Markup, el

__all__ = ["MINUS", "card", "counted", "number", "percent", "signed", "table"]

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def number(figure: float | None) -> str:
    """Return the figure as a whole number with a comma at each thousand; a dash where there is none."""
    return NOTHING if figure is None else f"{figure:,.0f}".replace("-", MINUS)


def signed(figure: float | None) -> str:
    """Return a sentiment with its sign and two decimals; a dash where there is none."""
    return NOTHING if figure is None else facts.signed(figure).replace("-", MINUS)


def percent(figure: float | None) -> str:
    """Return a percentage; what is less than half of one, and yet something, is not 0."""
    if figure is None:
        return NOTHING
    return "<1 %" if 0 < figure < 0.5 else f"{figure:.0f} %"


def counted(count: int, one: str) -> str:
    """Return the count and the noun, with an s where there is not one."""
    return f"{count:,} {one}{'s' * (count != 1)}"


def table(head: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """Return a table: a heading for each column, and the first cell of each row as the row's heading."""
    return el(
        "table",
        el("thead", el("tr", *(el("th", word, scope="col") if word else el("td") for word in head))),
        el(
            "tbody",
            *(el("tr", el("th", row[0], scope="row"), *(el("td", cell) for cell in row[1:])) for row in rows),
        ),
    )


def card(title: str, *parts: Child, wide: bool = False) -> Markup:
    """Return a card: a heading, and what stands under it."""
    return el("div", el("h3", title), *parts, class_="card wide" if wide else "card")
