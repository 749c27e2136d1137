"""One analysis as a person would want to see it, in either revision of the API.

Everything from the server goes through `clean` and into `Text`, which knows no markup.
"""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kallglot_async.cli.text import bar, clean, sparkline
from kallglot_async.models import Analysis
from kallglot_async.models.facts import Fact, facts_of

__all__ = ["analysis_card"]

_STYLES = {
    "positive": "green",
    "neutral": "yellow",
    "negative": "red",
    "high": "red",
    "medium": "yellow",
    "error": "red",
}


def analysis_card(analysis: Analysis, console: Console) -> RenderableType:
    """Return a table with a row for each part that the analysis has."""
    ascii_only = console.options.ascii_only
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column(style="bold", no_wrap=True)
    # Longer lines are hard to read, however wide the terminal.
    table.add_column(overflow="fold", max_width=90)
    for fact in facts_of(analysis):
        table.add_row(fact.name, _cell(fact, ascii_only=ascii_only))
    return table


def _cell(fact: Fact, *, ascii_only: bool) -> Text:
    """A list with its marks, or a figure, where there is one, and a text."""
    if fact.items:
        mark = "-" if ascii_only else "•"
        lines = [Text.assemble((mark, _STYLES.get(item.mood, "")), " ", clean(item.text)) for item in fact.items]
        return Text("\n").join(lines)
    cell = Text(style=_STYLES.get(fact.mood, ""))
    if fact.course:
        cell.append(sparkline(fact.course, ascii_only=ascii_only) + "  ")
    if fact.share is not None:
        filled, empty = bar(fact.share, ascii_only=ascii_only)
        cell.append(filled, "cyan").append(empty, "magenta").append("  ")
    return cell.append(clean(fact.text))
