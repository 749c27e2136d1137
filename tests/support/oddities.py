"""Texts that a server could send to break a page, a table or a terminal, and analyses that are made of them."""

import datetime

import msgspec

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


def everything(text: str) -> Analysis:
    """An analysis in both revisions at once, with `text` wherever a server could send one."""
    return Analysis(
        id=text,
        object="analysis",
        status=AnalysisStatus(text),
        session_id=text,
        error=text,
        language=text,
        analyses=(text,),
        results=Results(
            sentiment=Sentiment(
                overall=-0.456,
                label=SentimentLabel(text),
                trend=Trend(text),
                key_moments=(KeyMoment(segment_id="seg_1", type="turn", description=text),),
            ),
            summary=Summary(brief=text, key_points=(text, text), outcome=text),
            action_items=(
                ActionItem(
                    description=text,
                    assignee=Speaker(text),
                    due_date=datetime.date(2026, 12, 1),
                    priority=Priority(text),
                ),
            ),
            quality=Quality(score=87.5, talk_ratio=TalkRatio(agent=45.0, customer=55.0), hold_time=3.0),
            topics=(Topic(name=text, confidence=0.5),),
            compliance={text: text},
        ),
        report=Report(
            summary=text,
            sentiment=PartySentiment(customer=text, agent=text),
            compliance=Compliance(status=text, flags=(text, text)),
            performance=Performance(score=0.86),
            keywords=[text],
        ),
    )


def odd_analysis(text: str, number: int) -> Analysis:
    """An analysis of such texts, with an id of its own, and figures out of every range."""
    whole = everything(text)
    segments = (SentimentSegment(id=text, score=0.3), SentimentSegment(score=5.0), SentimentSegment())
    results = msgspec.structs.replace(
        whole.results,
        sentiment=msgspec.structs.replace(whole.results.sentiment, overall=-0.5 + number / 10, segments=segments),
        action_items=(*whole.results.action_items, ActionItem()),
        quality=Quality(score=400.0, talk_ratio=TalkRatio(agent=10.0, customer=0.0)),
        topics=(Topic(name=text, confidence=2.0), Topic(name=text)),
    )
    created_at = datetime.datetime(2026, 3, 1 + number, tzinfo=datetime.UTC)
    return msgspec.structs.replace(
        whole, id=f"ana_{number}{text}", status=AnalysisStatus.COMPLETE, created_at=created_at, results=results
    )


def odd_outcomes() -> list[Outcome]:
    """Each text twice as an analysis, and once as an error."""
    analyses = [odd_analysis(text, number) for number, text in enumerate(ODD * 2)]
    return [
        *(Outcome(id=analysis.id, analysis=analysis) for analysis in analyses),
        *(Outcome(id=text, error=NotFoundError(f"{text} was not found")) for text in ODD),
    ]
