"""Texts that a server could send to break a page, a table or a terminal, and analyses that are made of them."""

import datetime

from kallglot_async.errors import NotFoundError
from kallglot_async.models import (
    ActionItem,
    Analysis,
    AnalysisStatus,
    Compliance,
    KeyMoment,
    Outcome,
    PartySentiment,
    Performance,
    Priority,
    Quality,
    Report,
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

MARKUP = (
    """</td></table></svg></style><script>document.title='owned'</script><img src=x onerror="document.title='owned'">"""
)
RIGHT_TO_LEFT = "מה קרה \u202eevil\u2066 עם ההזמנה שלי?"
LONG = "Donaudampfschifffahrtsgesellschaftskapitaen" * 8
CONTROLS = "\x00\x07\x1b[31m\x85\ud800\uffff end"
LINES = 'one, "two"\r\nthree\nfour\tfive\u2028six'
ODD = (MARKUP, RIGHT_TO_LEFT, LONG, CONTROLS, LINES, "")


def odd_analysis(text: str, number: int = 0) -> Analysis:
    """Both revisions at once, with `text` wherever a server could send one, and figures out of every range."""
    return Analysis(
        id=f"ana_{number}{text}",
        object="analysis",
        status=AnalysisStatus.COMPLETE,
        session_id=text,
        created_at=datetime.datetime(2026, 3, 1 + number, tzinfo=datetime.UTC),
        language=text,
        results=Results(
            sentiment=Sentiment(
                overall=-0.5 + number / 10,
                label=SentimentLabel(text),
                trend=Trend(text),
                segments=(SentimentSegment(id=text, score=0.3), SentimentSegment(score=5.0), SentimentSegment()),
                key_moments=(KeyMoment(segment_id=text, type=text, description=text),),
            ),
            summary=Summary(brief=text * 3, key_points=(text, text), outcome=text),
            action_items=(
                ActionItem(
                    description=text,
                    assignee=Speaker(text),
                    due_date=datetime.date(2026, 3, 1),
                    priority=Priority(text),
                ),
                ActionItem(),
            ),
            quality=Quality(score=400.0, talk_ratio=TalkRatio(agent=10.0, customer=0.0)),
            topics=(Topic(name=text, confidence=2.0), Topic(name=text)),
            compliance={text: text},
        ),
        report=Report(
            call_id=text,
            profile=text,
            summary=text,
            sentiment=PartySentiment(customer=text, agent=text),
            compliance=Compliance(status=text, flags=(text, {text: 1})),
            performance=Performance(score=7.0),
            keywords=[text],
        ),
    )


def odd_outcomes() -> list[Outcome]:
    """Each text twice as an analysis, and once as an error."""
    analyses = [odd_analysis(text, number) for number, text in enumerate(ODD * 2)]
    return [
        *(Outcome(id=analysis.id, analysis=analysis) for analysis in analyses),
        *(Outcome(id=text, error=NotFoundError(f"{text} was not found")) for text in ODD),
    ]
