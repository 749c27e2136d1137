"""What is in a row of each table. The fields of a row are the columns of its table, in their order and of their types.

They do not depend on the data: what an analysis does not have is null. Texts of enumerations, labels for example, are
as the API spells them. Half a character (a lone surrogate), which no file can hold, is a question mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import get_args

import msgspec

from kallglot_async._core.api.analyses import check_analysis_id, revision_of
from kallglot_async.errors import AnalysisFailedError, ConfigurationError, InvalidIdError
from kallglot_async.models.analysis import Analysis
from kallglot_async.models.outcome import Outcome, TableName
from kallglot_async.models.records import encode
from kallglot_async.models.report import Compliance, PartySentiment, Performance, Report
from kallglot_async.models.results import Quality, Results, Sentiment, Summary, TalkRatio

__all__ = [
    "TABLES", "ActionItemRow", "AnalysisRow", "KeyMomentRow", "Row", "SegmentRow", "TableName", "TopicRow",
    "check_table", "row_type", "rows_of",
]  # fmt: skip

TABLES: tuple[TableName, ...] = get_args(TableName)
"""Every table's name."""


# No garbage collection: a row holds plain values, and there are hundreds of thousands of them.
class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of some table."""


class AnalysisRow(Row, frozen=True, kw_only=True, gc=False):
    """A row of `analyses`: an outcome, whether there is an analysis or not.

    Attributes:
        id: The analysis's id; where none is known, the id that was given. The key of the other tables.
        revision: `a` or `b`, by the id's prefix; null where it is the id of no analysis.
        session_id: The session that was analysed.
        status: As the API spelled it last.
        ok: Whether the outcome has an analysis. False where that one failed, or none came.
        error_type: The error's class, `WaitTimeoutError` for example.
        error_message: What happened, in one line; of a failed analysis, in the API's own words where it has some.
        polls: How often it was asked for, as in the outcome.
        elapsed_s: Seconds from the first of those to its end.
        created_at: When it was requested, in UTC.
        completed_at: When it was finished, in UTC.
        summary: What the call was about.
        outcome: How the call ended (revision A).
        sentiment: -1 to 1 (A).
        sentiment_label: In a word (A).
        sentiment_trend: Where it went (A).
        quality_score: 0 to 100 (A).
        talk_agent_pct: The agent's share of the talk, in percent (A).
        talk_customer_pct: The customer's (A).
        interruptions: How many (A).
        avg_response_s: Seconds to an answer, on average (A).
        hold_s: Seconds on hold (A).
        dead_air: How many silences (A).
        key_points: The summary's points (A). In CSV, JSON.
        compliance: What a requested compliance part held, as JSON (A; its shape is undocumented).
        call_id: (B).
        profile: (B).
        sentiment_customer: The customer's, in words (B).
        sentiment_agent: The agent's, in words (B).
        compliance_status: (B).
        compliance_flags: As JSON (B; their shape is undocumented).
        performance_score: The agent's, 0 to 1 (B).
        keywords: As JSON (B; their shape is undocumented).
    """

    id: str
    revision: str | None
    session_id: str | None
    status: str | None
    ok: bool
    error_type: str | None
    error_message: str | None
    polls: int
    elapsed_s: float
    created_at: datetime | None
    completed_at: datetime | None
    summary: str | None
    outcome: str | None
    sentiment: float | None
    sentiment_label: str | None
    sentiment_trend: str | None
    quality_score: float | None
    talk_agent_pct: float | None
    talk_customer_pct: float | None
    interruptions: float | None
    avg_response_s: float | None
    hold_s: float | None
    dead_air: float | None
    key_points: tuple[str, ...] | None
    compliance: str | None
    call_id: str | None
    profile: str | None
    sentiment_customer: str | None
    sentiment_agent: str | None
    compliance_status: str | None
    compliance_flags: str | None
    performance_score: float | None
    keywords: str | None


class ActionItemRow(Row, frozen=True, kw_only=True, gc=False):
    """A row of `action_items`: something that somebody has to do (A).

    Attributes:
        analysis_id: Whose it is.
        n: Its place, from 1.
        description: What is to be done.
        assignee: Who has to.
        due_date: By when.
        priority: How urgent it is.
    """

    analysis_id: str
    n: int
    description: str | None
    assignee: str | None
    due_date: date | None
    priority: str | None


class TopicRow(Row, frozen=True, kw_only=True, gc=False):
    """A row of `topics`: a subject of the call (A).

    Attributes:
        analysis_id: Whose it is.
        n: Its place, from 1.
        name: As the API spells it.
        confidence: 0 to 1.
    """

    analysis_id: str
    n: int
    name: str | None
    confidence: float | None


class SegmentRow(Row, frozen=True, kw_only=True, gc=False):
    """A row of `segments`: the sentiment of one segment of the transcript (A).

    Attributes:
        analysis_id: Whose it is.
        n: Its place, from 1.
        segment_id: The segment's id.
        score: -1 to 1.
        label: In a word.
    """

    analysis_id: str
    n: int
    segment_id: str | None
    score: float | None
    label: str | None


class KeyMomentRow(Row, frozen=True, kw_only=True, gc=False):
    """A row of `key_moments`: a turning point of the call (A).

    Attributes:
        analysis_id: Whose it is.
        n: Its place, from 1.
        segment_id: The segment in which it was.
        type: What kind of a turn.
        description: What happened.
    """

    analysis_id: str
    n: int
    segment_id: str | None
    type: str | None
    description: str | None


def check_table(table: str) -> TableName:
    """Return the table's name.

    Raises:
        ConfigurationError: There is no such table.
    """
    for name in TABLES:
        if table == name:
            return name
    raise ConfigurationError(f"there is no table {table!r}: choose from {', '.join(TABLES)}")


def row_type(table: TableName) -> type[Row]:
    """Return what a row of the table is."""
    return _TABLES[table][0]


def rows_of(outcome: Outcome, table: TableName) -> Iterator[Row]:
    """Return the rows of an outcome in a table: one in `analyses`, in the others as many as there are."""
    return _TABLES[table][1](outcome)


def _analyses(outcome: Outcome) -> Iterator[AnalysisRow]:
    analysis, error = _analysis(outcome), outcome.error
    id = _id(outcome, analysis)
    # A part that is not there reads as an empty one, whose fields are None: no column needs a check of its own.
    results, report = (analysis and analysis.results) or Results(), (analysis and analysis.report) or Report()
    sentiment, quality = results.sentiment or Sentiment(), results.quality or Quality()
    talk, summary = quality.talk_ratio or TalkRatio(), results.summary or Summary()
    parties, compliance = report.sentiment or PartySentiment(), report.compliance or Compliance()
    yield AnalysisRow(
        id=id,
        revision=_revision(id),
        session_id=_session_id(outcome, analysis),
        status=_text(getattr(error, "last_status", None) if analysis is None else analysis.status),
        ok=outcome.ok,
        error_type=None if error is None else type(error).__name__,
        error_message=_text(_message(outcome, analysis)),
        polls=outcome.polls,
        elapsed_s=outcome.elapsed,
        created_at=None if analysis is None else _utc(analysis.created_at),
        completed_at=None if analysis is None else _utc(analysis.completed_at),
        summary=None if analysis is None else _text(analysis.summary_text),
        outcome=_text(summary.outcome),
        sentiment=sentiment.overall,
        sentiment_label=_text(sentiment.label),
        sentiment_trend=_text(sentiment.trend),
        quality_score=quality.score,
        talk_agent_pct=talk.agent,
        talk_customer_pct=talk.customer,
        interruptions=quality.interruptions,
        avg_response_s=quality.average_response_time,
        hold_s=quality.hold_time,
        dead_air=quality.dead_air_instances,
        # Null without a summary, empty for one without points: the two are not the same.
        key_points=None if results.summary is None else tuple([_whole(point) for point in summary.key_points]),
        compliance=_json(results.compliance),
        call_id=_text(report.call_id),
        profile=_text(report.profile),
        sentiment_customer=_text(parties.customer),
        sentiment_agent=_text(parties.agent),
        compliance_status=_text(compliance.status),
        compliance_flags=None if report.compliance is None else _json(compliance.flags),
        performance_score=(report.performance or Performance()).score,
        keywords=_json(report.keywords),
    )


def _action_items(outcome: Outcome) -> Iterator[ActionItemRow]:
    id, results = _key(outcome)
    for n, item in enumerate(results.action_items, 1):
        yield ActionItemRow(
            analysis_id=id,
            n=n,
            description=_text(item.description),
            assignee=_text(item.assignee),
            due_date=item.due_date,
            priority=_text(item.priority),
        )


def _topics(outcome: Outcome) -> Iterator[TopicRow]:
    id, results = _key(outcome)
    for n, topic in enumerate(results.topics, 1):
        yield TopicRow(analysis_id=id, n=n, name=_text(topic.name), confidence=topic.confidence)


def _segments(outcome: Outcome) -> Iterator[SegmentRow]:
    id, results = _key(outcome)
    for n, segment in enumerate((results.sentiment or Sentiment()).segments, 1):
        yield SegmentRow(
            analysis_id=id, n=n, segment_id=_text(segment.id), score=segment.score, label=_text(segment.label)
        )


def _key_moments(outcome: Outcome) -> Iterator[KeyMomentRow]:
    id, results = _key(outcome)
    for n, moment in enumerate((results.sentiment or Sentiment()).key_moments, 1):
        yield KeyMomentRow(
            analysis_id=id,
            n=n,
            segment_id=_text(moment.segment_id),
            type=_text(moment.type),
            description=_text(moment.description),
        )


_TABLES: Mapping[TableName, tuple[type[Row], Callable[[Outcome], Iterator[Row]]]] = {
    "analyses": (AnalysisRow, _analyses),
    "action_items": (ActionItemRow, _action_items),
    "topics": (TopicRow, _topics),
    "segments": (SegmentRow, _segments),
    "key_moments": (KeyMomentRow, _key_moments),
}


def _analysis(outcome: Outcome) -> Analysis | None:
    """The analysis, also one that failed: it is on its error."""
    if isinstance(outcome.error, AnalysisFailedError):
        return outcome.error.analysis
    return outcome.analysis


def _key(outcome: Outcome) -> tuple[str, Results]:
    analysis = _analysis(outcome)
    return _id(outcome, analysis), (analysis and analysis.results) or Results()


def _id(outcome: Outcome, analysis: Analysis | None) -> str:
    """The analysis's own id: where sessions were to be analysed, the outcome's is that of the session."""
    if analysis is not None:
        return _whole(analysis.id)
    known = getattr(outcome.error, "id", None)
    return known if isinstance(known, str) and _revision(known) is not None else _whole(outcome.id)


def _revision(id: str) -> str | None:
    try:
        return revision_of(check_analysis_id(id)).name.lower()
    except InvalidIdError:
        return None


def _session_id(outcome: Outcome, analysis: Analysis | None) -> str | None:
    if analysis is not None and analysis.session_id is not None:
        return _whole(analysis.session_id)
    return _whole(outcome.id) if outcome.id.startswith("sess_") else None


def _message(outcome: Outcome, analysis: Analysis | None) -> str | None:
    if outcome.error is None:
        return None
    return (analysis and analysis.error_message) or outcome.error.message


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    # The first or last day that there is, in another zone.
    except OverflowError:
        return None


def _text(text: str | None) -> str | None:
    return None if text is None else _whole(text)


def _whole(text: str) -> str:
    """The text as a plain one, without half characters."""
    text = str(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _json(value: object) -> str | None:
    """What has no documented shape, as JSON; null where it is not there."""
    return None if value is None else encode(value).decode()
