"""What a report reads of an outcome."""

import datetime
import json

import pytest
from support.payloads import PAYLOADS

from kallglot_async.errors import AnalysisFailedError, NotFoundError
from kallglot_async.models import Analysis, AnalysisStatus, Outcome, Quality, Results, Sentiment, TalkRatio
from kallglot_async.report.calls import Reason, read_calls


def read(**facts):
    (call,) = read_calls([Outcome(**{"id": "ana_1"} | facts)])
    return call


def analysis(status=AnalysisStatus.COMPLETE, **facts):
    return Analysis(**{"id": "ana_1", "object": "analysis", "status": status} | facts)


def test_the_sample_is_read_whole():
    """Every figure of revision A."""
    sample = (PAYLOADS / "analysis_complete.a.json").read_bytes()
    call = read(analysis=Analysis.from_json(sample))
    assert (call.id, call.session_id, call.day) == (
        "ana_01HDEF456789012",
        "sess_01HXYZ123456789",
        datetime.date(2026, 3, 26),
    )
    assert (call.sentiment, call.label, call.trend, call.course) == (
        0.72,
        "positive",
        "improving",
        (0.1, -0.3, 0.8, 0.9),
    )
    assert (call.quality, call.score, call.agent_share, call.outcome) == (85.0, 85.0, 55.0, "resolved")
    assert call.topics == ("order_status", "shipping", "delivery_date")
    assert call.summary == json.loads(sample)["results"]["summary"]["brief"]
    assert len(call.items) == 2


def test_what_is_no_figure_is_left_out():
    """An infinite score would move every mean; a ratio of nothing is none."""
    results = Results(
        sentiment=Sentiment(overall=float("nan")),
        quality=Quality(score=float("inf"), talk_ratio=TalkRatio(agent=0.0, customer=0.0)),
    )
    call = read(analysis=analysis(results=results))
    assert (call.sentiment, call.quality, call.agent_share, call.rank) == (None, None, None, None)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"error": NotFoundError("no analysis ana_1 (404)")}, Reason("NotFoundError", "no analysis … (404)")),
        (
            {"error": AnalysisFailedError("ana_1 failed", analysis=analysis(AnalysisStatus.FAILED, error="no audio"))},
            Reason("failed", "no audio"),
        ),
        ({"analysis": analysis(AnalysisStatus.FAILED)}, Reason("failed", "no reason given")),
        ({"analysis": analysis(AnalysisStatus.QUEUED)}, Reason("not finished", "its status was queued")),
        ({}, Reason("nothing", "neither an analysis nor an error")),
    ],
)
def test_whatever_is_no_finished_analysis_has_a_reason(facts, reason):
    """In words that hold for many ids."""
    assert read(**facts).reason == reason


def test_a_day_that_utc_does_not_have_is_none():
    """The very last moment in a zone west of it."""
    zone = datetime.timezone(datetime.timedelta(hours=-5))
    assert read(analysis=analysis(created_at=datetime.datetime(9999, 12, 31, 23, tzinfo=zone))).day is None
