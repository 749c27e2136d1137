"""What a report reads of one outcome, in either revision. Figures that are no numbers are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date
from typing import TypeGuard

import msgspec

from kallglot_async.errors import AnalysisFailedError, KallglotError
from kallglot_async.models.analysis import Analysis
from kallglot_async.models.outcome import Outcome
from kallglot_async.models.report import Compliance, Performance, Report
from kallglot_async.models.results import ActionItem, Quality, Results, Sentiment, Summary, TalkRatio

__all__ = ["Call", "Reason", "read_calls"]


class Reason(msgspec.Struct, frozen=True, order=True):
    """Why there is no finished analysis: the kind, and what was said. The same for many ids, so none is in it."""

    kind: str
    message: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a report.

    Attributes:
        number: Its place in the batch, from 1.
        id: Of the analysis; where there is none, the id that was given.
        session_id: The session that was analysed.
        reason: Why it was not delivered; None for a finished analysis.
        day: When it was requested, or else finished, in UTC.
        sentiment: -1 to 1. Revision B describes it in words, which are no figure.
        label: The sentiment in a word.
        trend: Where the sentiment went, in a word.
        course: The scores of the segments.
        quality: 0 to 100 (revision A).
        performance: The agent's, 0 to 100 (revision B).
        agent_share: The agent's share of the talk, 0 to 100.
        topics: The subjects, each once.
        items: What is to be done.
        compliance: The roll-up in a word (revision B).
        outcome: How the call ended.
        summary: What it was about.
    """

    number: int
    id: str
    session_id: str | None = None
    reason: Reason | None = None
    day: date | None = None
    sentiment: float | None = None
    label: str | None = None
    trend: str | None = None
    course: tuple[float, ...] = ()
    quality: float | None = None
    performance: float | None = None
    agent_share: float | None = None
    topics: tuple[str, ...] = ()
    items: tuple[ActionItem, ...] = ()
    compliance: str | None = None
    outcome: str | None = None
    summary: str | None = None

    @property
    def score(self) -> float | None:
        """How well it went, 0 to 100: revision A's quality, revision B's performance."""
        return self.performance if self.quality is None else self.quality

    @property
    def rank(self) -> tuple[float, float] | None:
        """What calls are ranked by: the sentiment, and then the quality; None where there is neither."""
        if self.sentiment is None and self.score is None:
            return None
        return (self.sentiment or 0.0, self.score or 0.0)


def read_calls(outcomes: Iterable[Outcome]) -> list[Call]:
    """Return a call for each outcome, numbered from 1."""
    return [_call(number, outcome) for number, outcome in enumerate(outcomes, 1)]


def _call(number: int, outcome: Outcome) -> Call:
    if outcome.error is not None:
        return Call(number=number, id=outcome.id, reason=_reason(outcome.id, outcome.error))
    analysis = outcome.analysis
    if analysis is None:
        return Call(number=number, id=outcome.id, reason=Reason("nothing", "neither an analysis nor an error"))
    if not analysis.is_complete:
        return Call(number=number, id=analysis.id, day=_day(analysis), reason=_unfinished(analysis))
    results, report = analysis.results or Results(), analysis.report or Report()
    sentiment, quality = results.sentiment or Sentiment(), results.quality or Quality()
    return Call(
        number=number,
        id=analysis.id,
        session_id=analysis.session_id,
        day=_day(analysis),
        sentiment=_figure(sentiment.overall),
        label=_word(sentiment.label),
        trend=_word(sentiment.trend),
        course=tuple([score for segment in sentiment.segments if _is(score := segment.score)]),
        quality=_figure(quality.score),
        performance=_percent(_figure((report.performance or Performance()).score)),
        agent_share=_agent_share(quality.talk_ratio or TalkRatio()),
        topics=tuple(dict.fromkeys(topic.name for topic in results.topics if topic.name)),
        items=results.action_items,
        compliance=_word((report.compliance or Compliance()).status),
        outcome=_word((results.summary or Summary()).outcome),
        summary=analysis.summary_text,
    )


def _reason(id: str, error: KallglotError) -> Reason:
    if isinstance(error, AnalysisFailedError) and error.analysis is not None:
        return _unfinished(error.analysis)
    return Reason(type(error).__name__, error.message.replace(id, "…") if id else error.message)


def _unfinished(analysis: Analysis) -> Reason:
    if analysis.is_failed:
        return Reason("failed", analysis.error_message or "no reason given")
    return Reason("not finished", f"its status was {analysis.status}")


def _day(analysis: Analysis) -> date | None:
    moment = analysis.created_at or analysis.completed_at
    try:
        return None if moment is None else moment.astimezone(UTC).date()
    # The first or last day that there is, in another zone.
    except OverflowError:
        return None


def _agent_share(ratio: TalkRatio) -> float | None:
    """The agent's part of what both talked: their own sum, as nothing says that the two make 100."""
    if not _is(ratio.agent) or not _is(ratio.customer):
        return None
    whole = ratio.agent + ratio.customer
    return 100.0 * ratio.agent / whole if whole > 0 else None


def _is(figure: float | None) -> TypeGuard[float]:
    return figure is not None and math.isfinite(figure)


def _figure(figure: float | None) -> float | None:
    return figure if _is(figure) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _word(text: str | None) -> str | None:
    """The API's snake_case as people write it; an empty text is none."""
    return str(text).replace("_", " ") if text else None
