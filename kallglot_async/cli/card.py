"""One analysis as a person would want to see it, in either revision of the API.

Everything from the server goes through `clean` and into `Text`, which knows no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kallglot_async.cli.text import bar, clean, sparkline
from kallglot_async.models import ActionItem, Analysis, Quality, Report, Results, Sentiment, Topic

__all__ = ["analysis_card"]

_STYLES = {"positive": "green", "neutral": "yellow", "negative": "red", "high": "red", "medium": "yellow"}

Row = tuple[str, RenderableType]


def analysis_card(analysis: Analysis, console: Console) -> RenderableType:
    """Return a table with a row for each part that the analysis has."""
    ascii_only = console.options.ascii_only
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", max_width=90)
    for name, cell in _rows(analysis, ascii_only=ascii_only):
        table.add_row(name, cell)
    return table


def _rows(analysis: Analysis, *, ascii_only: bool) -> Iterator[Row]:
    yield "Analysis", _text(analysis.id, f"({clean(analysis.status.value)})")
    if analysis.session_id is not None:
        yield "Session", _text(analysis.session_id)
    if analysis.error_message is not None:
        yield "Error", _text(analysis.error_message, style="red")
    if analysis.summary_text is not None:
        yield "Summary", _text(analysis.summary_text)
    if analysis.results is not None:
        yield from _results(analysis.results, ascii_only=ascii_only)
    if analysis.report is not None:
        yield from _report(analysis.report)


def _results(results: Results, *, ascii_only: bool) -> Iterator[Row]:
    """The parts of revision A."""
    bullet = "-" if ascii_only else "•"
    if results.summary is not None:
        if results.summary.key_points:
            yield "Key points", _lines(_text(bullet, point) for point in results.summary.key_points)
        if results.summary.outcome is not None:
            yield "Outcome", _text(results.summary.outcome)
    if results.sentiment is not None:
        yield from _sentiment(results.sentiment, ascii_only=ascii_only)
    if results.action_items:
        yield "To do", _lines(_action_item(item, bullet) for item in results.action_items)
    if results.quality is not None:
        yield from _quality(results.quality, ascii_only=ascii_only)
    if results.topics:
        yield "Topics", _text(", ".join(_topic(topic) for topic in results.topics))


def _sentiment(sentiment: Sentiment, *, ascii_only: bool) -> Iterator[Row]:
    facts = [fact for fact in (sentiment.label, sentiment.trend) if fact is not None]
    figure = [] if sentiment.overall is None else [f"{round(sentiment.overall, 2) + 0.0:+.2f}"]
    course = [segment.score for segment in sentiment.segments if segment.score is not None]
    cell = Text(style=_STYLES.get(str(sentiment.label), ""))
    if course:
        cell.append(sparkline(course, ascii_only=ascii_only) + "  ")
    cell.append(", ".join(map(clean, [*figure, *facts])))
    if cell:
        yield "Sentiment", cell
    if sentiment.key_moments:
        places = {segment.id: place for place, segment in enumerate(sentiment.segments, 1) if segment.id is not None}
        yield (
            "Key moments",
            _lines(
                _text(
                    _place(moment.segment_id, places, len(sentiment.segments)),
                    f"{_words(moment.type)}:" if moment.type else "",
                    moment.description or "",
                )
                for moment in sentiment.key_moments
            ),
        )


def _place(segment_id: str | None, places: dict[str, int], total: int) -> str:
    """Where in the call a segment is; its id alone says little to a person."""
    if segment_id is None:
        return ""
    return f"{places[segment_id]}/{total}" if segment_id in places else segment_id


def _action_item(item: ActionItem, bullet: str) -> Text:
    line = _text(bullet, item.description or "(no description)")
    facts = [_words(item.assignee)] if item.assignee else []
    facts += [f"due {item.due_date:%Y-%m-%d}"] if item.due_date else ["no due date"]
    line.append(f" ({', '.join(facts)}")
    if item.priority:
        line.append(", ").append(_words(item.priority), style=_STYLES.get(str(item.priority), ""))
    return line.append(")")


def _quality(quality: Quality, *, ascii_only: bool) -> Iterator[Row]:
    ratio = quality.talk_ratio
    agent, customer = (ratio.agent or 0.0, ratio.customer or 0.0) if ratio is not None else (0.0, 0.0)
    if agent + customer > 0:
        filled, empty = bar(agent / (agent + customer), ascii_only=ascii_only)
        yield (
            "Talk ratio",
            Text.assemble(f"agent {agent:g} % ", (filled, "cyan"), (empty, "magenta"), f" {customer:g} % customer"),
        )
    figures = {
        "score {:g}": quality.score,
        "interruptions {:g}": quality.interruptions,
        "on hold {:g} s": quality.hold_time,
        "to answer {:g} s": quality.average_response_time,
        "silences {:g}": quality.dead_air_instances,
    }
    known = [words.format(figure) for words, figure in figures.items() if figure is not None]
    if known:
        yield "Quality", _text(", ".join(known))


def _topic(topic: Topic) -> str:
    return _words(topic.name or "?") + ("" if topic.confidence is None else f" {topic.confidence:.0%}")


def _report(report: Report) -> Iterator[Row]:
    """The parts of revision B."""
    if report.sentiment is not None:
        for party, words in (("Customer", report.sentiment.customer), ("Agent", report.sentiment.agent)):
            if words is not None:
                yield party, _text(words)
    if report.compliance is not None:
        flags = f"({len(report.compliance.flags)} flags)" if report.compliance.flags else ""
        yield "Compliance", _text(report.compliance.status or "?", flags)
    if report.performance is not None and report.performance.score is not None:
        yield "Performance", _text(f"{report.performance.score:.0%}")


def _words(name: object) -> str:
    """The API's snake_case names as people write them."""
    return clean(name).replace("_", " ")


def _text(*parts: object, style: str = "") -> Text:
    """Server text and ours, one blank between the parts that have something to say."""
    return Text(" ".join(filter(None, map(clean, parts))), style=style)


def _lines(lines: Iterable[Text]) -> Text:
    return Text("\n").join(lines)
