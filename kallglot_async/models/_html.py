"""An analysis as an HTML table for notebooks. Whatever the server sent is text here, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from kallglot_async.models.analysis import Analysis
from kallglot_async.models.report import Report
from kallglot_async.models.results import ActionItem, Quality, Results, Sentiment, Topic

__all__ = ["analysis_html"]

Row = tuple[str, str]  # a heading of ours, and escaped HTML


def analysis_html(analysis: Analysis) -> str:
    """Return a table with a row for each part that the analysis has, in either revision."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; vertical-align: top">{name}</th>'
        f'<td style="text-align: left">{cell}</td></tr>'
        for name, cell in _rows(analysis)
    )
    return f"<table>{rows}</table>"


def _rows(analysis: Analysis) -> Iterator[Row]:
    yield "Analysis", _text(analysis.id)
    yield "Status", _text(analysis.status.value)
    if analysis.session_id is not None:
        yield "Session", _text(analysis.session_id)
    if analysis.error_message is not None:
        yield "Error", _text(analysis.error_message)
    if analysis.summary_text is not None:
        yield "Summary", _text(analysis.summary_text)
    if analysis.results is not None:
        yield from _results(analysis.results)
    if analysis.report is not None:
        yield from _report(analysis.report)


def _results(results: Results) -> Iterator[Row]:
    """The parts of revision A."""
    if results.summary is not None and results.summary.key_points:
        yield "Key points", _list(results.summary.key_points)
    if results.sentiment is not None and (words := _sentiment(results.sentiment)):
        yield "Sentiment", _text(words)
    if results.action_items:
        yield "Action items", _list(_action_item(item) for item in results.action_items)
    if results.topics:
        yield "Topics", _text(", ".join(_topic(topic) for topic in results.topics))
    if results.quality is not None and (words := _quality(results.quality)):
        yield "Quality", _text(words)


def _report(report: Report) -> Iterator[Row]:
    """The parts of revision B."""
    if report.sentiment is not None:
        parties = {"customer": report.sentiment.customer, "agent": report.sentiment.agent}
        if words := ", ".join(f"{party} {text}" for party, text in parties.items() if text is not None):
            yield "Sentiment", _text(words)
    if report.compliance is not None:
        flags = f", {len(report.compliance.flags)} flags" if report.compliance.flags else ""
        yield "Compliance", _text(f"{report.compliance.status or '?'}{flags}")
    if report.performance is not None and report.performance.score is not None:
        yield "Performance", _text(f"{report.performance.score:.0%}")


def _sentiment(sentiment: Sentiment) -> str:
    figure = None if sentiment.overall is None else f"{sentiment.overall:+.2f}"
    return ", ".join(str(part) for part in (figure, sentiment.label, sentiment.trend) if part is not None)


def _action_item(item: ActionItem) -> str:
    due = None if item.due_date is None else f"due {item.due_date.isoformat()}"
    facts = ", ".join(str(fact) for fact in (item.assignee, due, item.priority) if fact is not None)
    return (item.description or "(no description)") + (f" ({facts})" if facts else "")


def _topic(topic: Topic) -> str:
    return (topic.name or "?") + ("" if topic.confidence is None else f" {topic.confidence:.0%}")


def _quality(quality: Quality) -> str:
    ratio = quality.talk_ratio
    figures = {
        "score {:g}": quality.score,
        "agent talks {:g} %": None if ratio is None else ratio.agent,
        "customer talks {:g} %": None if ratio is None else ratio.customer,
        "interruptions {:g}": quality.interruptions,
        "on hold {:g} s": quality.hold_time,
        "to answer {:g} s": quality.average_response_time,
        "silences {:g}": quality.dead_air_instances,
    }
    return ", ".join(words.format(figure) for words, figure in figures.items() if figure is not None)


def _text(value: str) -> str:
    return escape(value, quote=True)


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"
