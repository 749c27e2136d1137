"""Analyses and outcomes as HTML tables for notebooks. Whatever the server sent is text here, never markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape

from kallglot_async.models.analysis import Analysis
from kallglot_async.models.facts import Fact, facts_of
from kallglot_async.models.outcome import Outcome, Outcomes

__all__ = ["analysis_html", "outcomes_html"]

_ROWS = 10  # outcomes that are shown; a notebook keeps its pages for ever
_LONGEST = 200  # characters of a summary or a message in a row


def analysis_html(analysis: Analysis) -> str:
    """Return a table with a row for each part that the analysis has, in either revision."""
    return _table((_head(fact.name), _cell(fact)) for fact in facts_of(analysis))


def outcomes_html(outcomes: Outcomes) -> str:
    """Return how many there are, what the failures are, and the first rows."""
    failed = outcomes.failed
    lines = [f"{len(outcomes)} ids: {len(outcomes) - len(failed)} with an analysis, {len(failed)} without"]
    kinds = Counter(type(outcome.error).__name__ for outcome in failed)
    lines += [f"{count} {kind}" for kind, count in kinds.most_common()]
    rows = [_outcome(outcome) for outcome in outcomes[:_ROWS]]
    if rows:
        rows.insert(0, tuple(_head(name, "col") for name in ("id", "status", "summary or error", "polls", "seconds")))
    more = f"<p>and {len(outcomes) - _ROWS} more</p>" if len(outcomes) > _ROWS else ""
    return f"<p>{_text(lines[0])}</p>{_list(lines[1:])}{_table(rows)}{more}"


def _outcome(outcome: Outcome) -> tuple[str, ...]:
    if outcome.error is not None:
        status, text = type(outcome.error).__name__, str(outcome.error)
    else:
        status = "" if outcome.analysis is None else str(outcome.analysis.status)
        text = "" if outcome.analysis is None else outcome.analysis.summary_text or ""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    cells = (status, short, str(outcome.polls), f"{outcome.elapsed:.1f}")
    return (_head(outcome.id), *(_data(_text(cell)) for cell in cells))


# The only place here where markup is made. Styles stand in the tags: what is outside of a cell's own markup, a notebook
# may drop.


def _table(rows: Iterable[Iterable[str]]) -> str:
    inner = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f"<table>{inner}</table>" if inner else ""


def _head(text: str, scope: str = "row") -> str:
    return f'<th scope="{scope}" style="text-align: left; vertical-align: top">{_text(text)}</th>'


def _cell(fact: Fact) -> str:
    return _data(_list([item.text for item in fact.items]) or _text(fact.text))


def _data(markup: str) -> str:
    return f'<td style="text-align: left">{markup}</td>'


def _list(texts: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in texts)}</ul>" if texts else ""


def _text(text: str) -> str:
    return escape(text, quote=True)
