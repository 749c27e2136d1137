"""The values of the public face: analyses and their neighbours in both revisions, outcomes, rate limits."""

from importlib import import_module
from typing import TYPE_CHECKING

from kallglot_async.models._base import Day, JSONValue, Model, OpenEnum, Timestamp
from kallglot_async.models.analysis import Analysis, AnalysisStatus, FailureDetail
from kallglot_async.models.events import (
    ClientEvent,
    PollEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    SettledEvent,
    ThrottledEvent,
)
from kallglot_async.models.meta import ResponseMeta, Result
from kallglot_async.models.outcome import Outcome, Outcomes, Progress
from kallglot_async.models.rate_limit import ClientStats, RateLimit, RateLimitState
from kallglot_async.models.report import Compliance, PartySentiment, Performance, Report
from kallglot_async.models.requests import AnalysisRequestA, AnalysisRequestB
from kallglot_async.models.results import (
    ActionItem,
    KeyMoment,
    Priority,
    Quality,
    Results,
    Sentiment,
    SentimentLabel,
    SentimentSegment,
    Speaker,
    Summary,
    TalkRatio,
    Topic,
    Trend,
)

# Sessions and what belongs to them, and what reads files, are loaded when first used: most programs need neither.
if TYPE_CHECKING:
    from kallglot_async.models.raw_response import RawResponse
    from kallglot_async.models.recording import Channel, Download, Recording, RecordingPage, RecordingStatus
    from kallglot_async.models.records import read_jsonl
    from kallglot_async.models.session import (
        EndReason,
        Provider,
        Session,
        SessionMode,
        SessionRecording,
        SessionStatus,
        SessionTranscript,
        Stream,
    )
    from kallglot_async.models.transcript import (
        Languages,
        Line,
        Segment,
        Transcript,
        TranscriptStatus,
        Translation,
        Turn,
    )

__all__ = [
    "ActionItem",
    "Analysis",
    "AnalysisRequestA",
    "AnalysisRequestB",
    "AnalysisStatus",
    "Channel",
    "ClientEvent",
    "ClientStats",
    "Compliance",
    "Day",
    "Download",
    "EndReason",
    "FailureDetail",
    "JSONValue",
    "KeyMoment",
    "Languages",
    "Line",
    "Model",
    "OpenEnum",
    "Outcome",
    "Outcomes",
    "PartySentiment",
    "Performance",
    "PollEvent",
    "Priority",
    "Progress",
    "Provider",
    "Quality",
    "RateLimit",
    "RateLimitState",
    "RawResponse",
    "Recording",
    "RecordingPage",
    "RecordingStatus",
    "Report",
    "RequestEvent",
    "ResponseEvent",
    "ResponseMeta",
    "Result",
    "Results",
    "RetryEvent",
    "Segment",
    "Sentiment",
    "SentimentLabel",
    "SentimentSegment",
    "Session",
    "SessionMode",
    "SessionRecording",
    "SessionStatus",
    "SessionTranscript",
    "SettledEvent",
    "Speaker",
    "Stream",
    "Summary",
    "TalkRatio",
    "ThrottledEvent",
    "Timestamp",
    "Topic",
    "Transcript",
    "TranscriptStatus",
    "Translation",
    "Trend",
    "Turn",
    "read_jsonl",
]

_LATER = {
    name: home
    for home, names in (
        ("recording", "Channel Download Recording RecordingPage RecordingStatus"),
        ("session", "EndReason Provider Session SessionMode SessionRecording SessionStatus SessionTranscript Stream"),
        ("transcript", "Languages Line Segment Transcript TranscriptStatus Translation Turn"),
        ("raw_response", "RawResponse"),
        ("records", "read_jsonl"),
    )
    for name in names.split()
}

# Type checkers would take it for a module that has every name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        home = _LATER.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{home}"), name)
        # The next look finds it without this function.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
