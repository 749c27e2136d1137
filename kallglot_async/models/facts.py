"""What there is to show of an analysis to a person, in either revision: the facts, without any drawing.

A notebook's table and the command line's card show these. Texts are as the server sent them: who shows them escapes
or cleans them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kallglot_async.models.analysis import Analysis
from kallglot_async.models.report import Report
from kallglot_async.models.results import ActionItem, KeyMoment, Quality, Results, Sentiment, TalkRatio, Topic

__all__ = ["Fact", "Item", "facts_of", "signed"]


class Item(NamedTuple):
    """One line of a list; `mood` is the word that a colour may follow."""

    text: str
    mood: str = ""


class Fact(NamedTuple):
    """One part of an analysis: a heading of ours, and a text or a list under it.

    Attributes:
        name: The heading.
        text: What is to be said in one line.
        items: What is to be said in several lines.
        mood: The word that a colour may follow.
        course: Scores from -1 to 1 in the order of the call, for a figure.
        share: A share from 0 to 1, for a figure.
    """

    name: str
    text: str = ""
    items: tuple[Item, ...] = ()
    mood: str = ""
    course: tuple[float, ...] = ()
    share: float | None = None


def facts_of(analysis: Analysis) -> Iterator[Fact]:
    """Give a fact for each part that the analysis has; what is not there has none."""
    yield Fact("Analysis", f"{analysis.id} ({analysis.status})")
    if analysis.session_id is not None:
        yield Fact("Session", analysis.session_id)
    if analysis.error_message is not None:
        yield Fact("Error", analysis.error_message, mood="error")
    if analysis.summary_text is not None:
        yield Fact("Summary", analysis.summary_text)
    if analysis.results is not None:
        yield from _results(analysis.results)
    if analysis.report is not None:
        yield from _report(analysis.report)


def _results(results: Results) -> Iterator[Fact]:
    """The parts of revision A."""
    if results.summary is not None:
        if results.summary.key_points:
            yield Fact("Key points", items=_items(results.summary.key_points))
        if results.summary.outcome is not None:
            yield Fact("Outcome", results.summary.outcome)
    if results.sentiment is not None:
        yield from _sentiment(results.sentiment)
    if results.action_items:
        yield Fact("To do", items=tuple(map(_action_item, results.action_items)))
    if results.quality is not None:
        yield from _quality(results.quality)
    if results.topics:
        yield Fact("Topics", ", ".join(map(_topic, results.topics)))


def _sentiment(sentiment: Sentiment) -> Iterator[Fact]:
    figure = None if sentiment.overall is None else signed(sentiment.overall)
    text = ", ".join(str(part) for part in (figure, sentiment.label, sentiment.trend) if part is not None)
    course = tuple(segment.score for segment in sentiment.segments if segment.score is not None)
    if text or course:
        yield Fact("Sentiment", text, mood=str(sentiment.label or ""), course=course)
    if sentiment.key_moments:
        places = {segment.id: place for place, segment in enumerate(sentiment.segments, 1) if segment.id is not None}
        total = len(sentiment.segments)
        yield Fact("Key moments", items=_items(_moment(moment, places, total) for moment in sentiment.key_moments))


def signed(score: float) -> str:
    """Return a score with its sign and two decimals."""
    # Rounded first and added to 0.0: a score a little below zero is +0.00, not -0.00.
    return f"{round(score, 2) + 0.0:+.2f}"


def _moment(moment: KeyMoment, places: dict[str, int], total: int) -> str:
    # Where in the call it was; the id of a segment alone says little to a person.
    place = places.get(moment.segment_id or "")
    where = moment.segment_id if place is None else f"{place}/{total}"
    what = f"{_words(moment.type)}:" if moment.type else None
    return " ".join(part for part in (where, what, moment.description) if part)


def _action_item(item: ActionItem) -> Item:
    due = f"due {item.due_date.isoformat()}" if item.due_date else "no due date"
    facts = [_words(item.assignee)] if item.assignee else []
    facts += [due, *([_words(item.priority)] if item.priority else [])]
    return Item(f"{item.description or '(no description)'} ({', '.join(facts)})", str(item.priority or ""))


def _quality(quality: Quality) -> Iterator[Fact]:
    if quality.talk_ratio is not None:
        yield from _talk_ratio(quality.talk_ratio)
    figures = {
        "score {:g}": quality.score,
        "interruptions {:g}": quality.interruptions,
        "on hold {:g} s": quality.hold_time,
        "to answer {:g} s": quality.average_response_time,
        "silences {:g}": quality.dead_air_instances,
    }
    known = [words.format(figure) for words, figure in figures.items() if figure is not None]
    if known:
        yield Fact("Quality", ", ".join(known))


def _talk_ratio(ratio: TalkRatio) -> Iterator[Fact]:
    agent, customer = ratio.agent or 0.0, ratio.customer or 0.0
    # Of their own sum: that they make 100 is inferred from one sample.
    if agent + customer > 0:
        yield Fact("Talk ratio", f"agent {agent:g} %, customer {customer:g} %", share=agent / (agent + customer))


def _topic(topic: Topic) -> str:
    return _words(topic.name or "?") + ("" if topic.confidence is None else f" {topic.confidence:.0%}")


def _report(report: Report) -> Iterator[Fact]:
    """The parts of revision B."""
    if report.sentiment is not None:
        for party, words in (("Customer", report.sentiment.customer), ("Agent", report.sentiment.agent)):
            if words is not None:
                yield Fact(party, words)
    if report.compliance is not None:
        flags = f" ({len(report.compliance.flags)} flags)" if report.compliance.flags else ""
        yield Fact("Compliance", (report.compliance.status or "?") + flags)
    if report.performance is not None and report.performance.score is not None:
        yield Fact("Performance", f"{report.performance.score:.0%}")


def _items(texts: Iterable[str]) -> tuple[Item, ...]:
    return tuple(Item(text) for text in texts)


def _words(name: object) -> str:
    """The API's snake_case names as people write them."""
    return str(name).replace("_", " ")
