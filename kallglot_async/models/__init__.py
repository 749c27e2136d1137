"""The values of the public face: analyses in both revisions, outcomes, rate limits."""

from kallglot_async.models._base import JSONValue, Model, OpenEnum, Timestamp
from kallglot_async.models.analysis import Analysis, AnalysisStatus, FailureDetail
from kallglot_async.models.outcome import Outcome, Outcomes, Progress
from kallglot_async.models.rate_limit import ClientStats, RateLimit, RateLimitState
from kallglot_async.models.report import Compliance, PartySentiment, Performance, Report
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

__all__ = [
    "ActionItem",
    "Analysis",
    "AnalysisStatus",
    "ClientStats",
    "Compliance",
    "FailureDetail",
    "JSONValue",
    "KeyMoment",
    "Model",
    "OpenEnum",
    "Outcome",
    "Outcomes",
    "PartySentiment",
    "Performance",
    "Priority",
    "Progress",
    "Quality",
    "RateLimit",
    "RateLimitState",
    "Report",
    "Results",
    "Sentiment",
    "SentimentLabel",
    "SentimentSegment",
    "Speaker",
    "Summary",
    "TalkRatio",
    "Timestamp",
    "Topic",
    "Trend",
]
