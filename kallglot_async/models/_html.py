"""An analysis as an HTML table for notebooks. Whatever the server sent is text here, never markup."""

from __future__ import annotations

from html import escape

from kallglot_async.models.analysis import Analysis
from kallglot_async.models.facts import Fact, facts_of

__all__ = ["analysis_html"]


def analysis_html(analysis: Analysis) -> str:
    """Return a table with a row for each part that the analysis has, in either revision."""
    # Styles stand in the tags: what is outside of a cell's own markup, a notebook may drop.
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; vertical-align: top">{fact.name}</th>'
        f'<td style="text-align: left">{_cell(fact)}</td></tr>'
        for fact in facts_of(analysis)
    )
    return f"<table>{rows}</table>"


def _cell(fact: Fact) -> str:
    if not fact.items:
        return escape(fact.text, quote=True)
    return "<ul>" + "".join(f"<li>{escape(item.text, quote=True)}</li>" for item in fact.items) + "</ul>"
