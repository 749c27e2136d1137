"""Revision A's results: the nested object that `GET /v1/analysis/{id}` carries once it is complete.

Whatever was not requested, or not delivered, is None or empty. Numbers are floats throughout, because the
documentation shows integers and fractions for the same kind of metric. Parts that hold call text leave it out of
their `repr`, so that it reaches no log by accident.
"""

from __future__ import annotations

from kallglot_async.models._base import Day, Discreet, JSONValue, Model, OpenEnum, one_line

__all__ = [
    "ActionItem", "KeyMoment", "Priority", "Quality", "Results", "Sentiment", "SentimentLabel", "SentimentSegment",
    "Speaker", "Summary", "TalkRatio", "Topic", "Trend",
]  # fmt: skip


class SentimentLabel(OpenEnum):
    """How a stretch of the call felt."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


class Trend(OpenEnum):
    """Where the sentiment went during the call. Only `improving` is documented; the rest is by analogy."""

    IMPROVING = "improving"
    STABLE = "stable"
    DECLINING = "declining"


class Speaker(OpenEnum):
    """Who has to act, or who spoke."""

    AGENT = "agent"
    CUSTOMER = "customer"


class Priority(OpenEnum):
    """How urgent an action item is. `low` is not in the samples and is assumed."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class SentimentSegment(Model, frozen=True, kw_only=True, gc=False):
    """The sentiment of one transcript segment; `score` runs from -1 to 1 (range inferred)."""

    id: str | None = None
    score: float | None = None
    label: SentimentLabel | None = None


class KeyMoment(Discreet, frozen=True, kw_only=True, gc=False):
    """A turning point of the call, in the segment `segment_id`."""

    segment_id: str | None = None
    type: str | None = None
    description: str | None = None

    def __repr__(self) -> str:
        return one_line(f"<KeyMoment {self.type} in {self.segment_id}>")


class Sentiment(Model, frozen=True, kw_only=True):
    """The sentiment of the whole call (-1 to 1, inferred), its course and its key moments."""

    overall: float | None = None
    label: SentimentLabel | None = None
    trend: Trend | None = None
    segments: tuple[SentimentSegment, ...] = ()
    key_moments: tuple[KeyMoment, ...] = ()


class Summary(Discreet, frozen=True, kw_only=True):
    """What the call was about and how it ended; `outcome` is free text, `resolved` in the sample."""

    brief: str | None = None
    key_points: tuple[str, ...] = ()
    outcome: str | None = None

    def __repr__(self) -> str:
        return f"<Summary of {len(self.brief or '')} characters, {len(self.key_points)} key points>"


class ActionItem(Discreet, frozen=True, kw_only=True, gc=False):
    """Something somebody has to do after the call."""

    description: str | None = None
    assignee: Speaker | None = None
    due_date: Day | None = None
    priority: Priority | None = None

    def __repr__(self) -> str:
        return one_line(f"<ActionItem for {self.assignee} due {self.due_date} priority {self.priority}>")


class TalkRatio(Model, frozen=True, kw_only=True, gc=False):
    """Share of talk time in percent; the two add up to 100 in the sample."""

    agent: float | None = None
    customer: float | None = None


class Quality(Model, frozen=True, kw_only=True, gc=False):
    """Conversation metrics: `score` 0 to 100, times in seconds (both inferred), the rest are counts."""

    score: float | None = None
    talk_ratio: TalkRatio | None = None
    interruptions: float | None = None
    average_response_time: float | None = None
    hold_time: float | None = None
    dead_air_instances: float | None = None


class Topic(Model, frozen=True, kw_only=True, gc=False):
    """A subject of the call; `confidence` 0 to 1 (inferred)."""

    name: str | None = None
    confidence: float | None = None


class Results(Discreet, frozen=True, kw_only=True):
    """Everything an analysis of revision A found. `compliance` is requestable, its shape undocumented."""

    sentiment: Sentiment | None = None
    summary: Summary | None = None
    action_items: tuple[ActionItem, ...] = ()
    quality: Quality | None = None
    topics: tuple[Topic, ...] = ()
    compliance: JSONValue = None

    def __repr__(self) -> str:
        present = [name for name in self.__struct_fields__ if getattr(self, name) not in (None, ())]
        return f"<Results {', '.join(present) or 'empty'}>"
