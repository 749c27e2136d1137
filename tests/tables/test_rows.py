"""What is in a row of each table."""

import datetime

import msgspec
import pytest
from support import batches
from support.oddities import odd_outcomes
from support.payloads import PAYLOADS

from kallglot_async.errors import AnalysisFailedError, ConfigurationError, NotFoundError, WaitTimeoutError
from kallglot_async.models import Analysis, AnalysisStatus, Outcome
from kallglot_async.tables import TABLES
from kallglot_async.tables.rows import check_table, row_type, rows_of

MOMENT = datetime.datetime(2026, 3, 26, 11, 10, tzinfo=datetime.UTC)


def row(outcome):
    (found,) = rows_of(outcome, "analyses")
    return found


def told(outcome):
    """The row without what is null."""
    return {name: value for name, value in msgspec.structs.asdict(row(outcome)).items() if value is not None}


def test_the_sample_of_revision_a_is_a_row():
    """Each figure under a name that says its unit."""
    sample = Analysis.from_json((PAYLOADS / "analysis_complete.a.json").read_bytes())
    assert told(Outcome(id=sample.id, analysis=sample, polls=3, elapsed=25.5)) == {
        "id": "ana_01HDEF456789012",
        "revision": "a",
        "session_id": "sess_01HXYZ123456789",
        "status": "complete",
        "ok": True,
        "polls": 3,
        "elapsed_s": 25.5,
        "created_at": MOMENT,
        "completed_at": MOMENT + datetime.timedelta(seconds=25),
        "summary": "Customer inquired about order status. Agent located the order and confirmed delivery date.",
        "outcome": "resolved",
        "sentiment": 0.72,
        "sentiment_label": "positive",
        "sentiment_trend": "improving",
        "quality_score": 85.0,
        "talk_agent_pct": 55.0,
        "talk_customer_pct": 45.0,
        "interruptions": 1.0,
        "avg_response_s": 1.2,
        "hold_s": 0.0,
        "dead_air": 0.0,
        "key_points": (
            "Customer asked about order #12345",
            "Order was delayed due to shipping",
            "New delivery date confirmed for March 28",
        ),
    }


def test_the_parts_of_revision_a_are_rows_of_their_own():
    """By the analysis's id, and by their place from 1."""
    sample = Analysis.from_json((PAYLOADS / "analysis_complete.a.json").read_bytes())
    found = {
        name: [msgspec.structs.astuple(part) for part in rows_of(Outcome(id=sample.id, analysis=sample), name)]
        for name in TABLES[1:]
    }
    due = datetime.date(2026, 3, 28)
    late = "Call back if package doesn't arrive by March 28"
    assert found["action_items"] == [
        (sample.id, 1, "Send tracking number to customer", "agent", None, "high"),
        (sample.id, 2, late, "customer", due, "medium"),
    ]
    assert found["topics"][0] == (sample.id, 1, "order_status", 0.95)
    assert found["segments"][1] == (sample.id, 2, "seg_002", -0.3, "negative")
    assert found["key_moments"] == [(sample.id, 1, "seg_003", "positive_peak", "Issue resolved")]


def test_a_failure_is_a_row_that_says_why():
    """A failed analysis in the API's words, whatever else in ours; and none has parts."""
    failed = Analysis(id="ana_1", object="analysis", status=AnalysisStatus.FAILED, error="no audio", created_at=MOMENT)
    outcome = Outcome(id="ana_1", error=AnalysisFailedError("ana_1 failed: no audio", analysis=failed))
    found = row(outcome)
    assert (found.ok, found.status, found.error_type) == (False, "failed", "AnalysisFailedError")
    assert (found.error_message, found.created_at) == ("no audio", MOMENT)
    late = row(Outcome(id="ana_2", error=WaitTimeoutError("still processing", id="ana_2", last_status="processing")))
    assert (late.id, late.status, late.error_message) == ("ana_2", "processing", "still processing")
    assert [list(rows_of(outcome, name)) for name in TABLES[1:]] == [[]] * 4


def test_an_analysis_that_was_asked_for_by_its_session_has_its_own_id():
    """It is the key of the other tables; where none is known, the session's id stands for it."""
    analysis = Analysis(id="anl_1", object="analysis", status=AnalysisStatus.COMPLETED)
    found = row(Outcome(id="sess_1", analysis=analysis))
    assert (found.id, found.revision, found.session_id) == ("anl_1", "b", "sess_1")
    found = row(Outcome(id="sess_1", error=WaitTimeoutError("late", id="ana_1")))
    assert (found.id, found.revision, found.session_id) == ("ana_1", "a", "sess_1")
    assert row(Outcome(id="sess_1", error=WaitTimeoutError("late"))).id == "sess_1"
    found = row(Outcome(id="sess_1", error=NotFoundError("no such session")))
    assert (found.id, found.revision, found.session_id) == ("sess_1", None, "sess_1")


@pytest.mark.parametrize("table", TABLES)
def test_every_value_is_of_its_columns_type(table):
    """Plain values, whatever a server made up: no enumerations, nothing that no file can hold."""
    rows = [row for o in [*batches.outcomes(60, revisions="ab"), *odd_outcomes()] for row in rows_of(o, table)]
    assert rows
    for each in rows:
        plain = msgspec.structs.asdict(each)
        assert msgspec.convert(plain, row_type(table), strict=True) == each
        assert {type(value) for value in plain.values()} <= {
            str, bool, int, float, tuple, datetime.datetime, datetime.date, type(None),
        }  # fmt: skip
        repr(plain).encode()
        [value.encode() for value in plain.values() if isinstance(value, str)]


def test_a_moment_that_utc_does_not_have_is_null():
    """And costs nothing else."""
    zone = datetime.timezone(datetime.timedelta(hours=5))
    analysis = Analysis(
        id="ana_1",
        object="analysis",
        status=AnalysisStatus.COMPLETE,
        created_at=datetime.datetime(1, 1, 1, tzinfo=zone),
        completed_at=MOMENT.astimezone(zone),
    )
    found = row(Outcome(id="ana_1", analysis=analysis))
    assert (found.created_at, found.completed_at.tzinfo) == (None, datetime.UTC)


def test_an_unknown_table_is_named_with_those_there_are():
    """Before anything is read."""
    with pytest.raises(ConfigurationError, match="no table 'topic': choose from analyses, action_items, topics"):
        check_table("topic")
