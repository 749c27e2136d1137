"""Arrow tables: one schema, whatever the data is."""

import sys

import pytest
from support import batches
from support.lazily import lazily
from support.oddities import odd_outcomes

from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Outcome, Outcomes
from kallglot_async.tables import TABLES, analyses_table, export
from kallglot_async.tables.arrow import schema_of
from kallglot_async.tables.rows import rows_of

pyarrow = lazily("pyarrow")

SHAPES = {
    "analyses": "id: string not null revision: string session_id: string status: string ok: bool not null "
    "error_type: string error_message: string polls: int64 not null elapsed_s: double not null "
    "created_at: timestamp[us, tz=UTC] completed_at: timestamp[us, tz=UTC] summary: string outcome: string "
    "sentiment: double sentiment_label: string sentiment_trend: string quality_score: double "
    "talk_agent_pct: double talk_customer_pct: double interruptions: double avg_response_s: double hold_s: double "
    "dead_air: double key_points: list<item: string>   child 0, item: string compliance: string call_id: string "
    "profile: string sentiment_customer: string sentiment_agent: string compliance_status: string "
    "compliance_flags: string performance_score: double keywords: string",
    "action_items": "analysis_id: string not null n: int64 not null description: string assignee: string "
    "due_date: date32[day] priority: string",
    "topics": "analysis_id: string not null n: int64 not null name: string confidence: double",
    "segments": "analysis_id: string not null n: int64 not null segment_id: string score: double label: string",
    "key_moments": "analysis_id: string not null n: int64 not null segment_id: string type: string description: string",
}


@pytest.mark.parametrize("table", TABLES)
def test_the_schema_is_what_is_documented(table):
    """A change here breaks who has stored tables."""
    assert str(schema_of(table)).replace("\n", " ") == SHAPES[table]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "outcomes",
    [[], [Outcome(id="ana_1")], list(batches.outcomes(3, revisions="b")), odd_outcomes()],
    ids=["empty", "nothing", "b", "odd"],
)
def test_the_schema_does_not_depend_on_the_data(table, outcomes):
    """Also where a column has no value at all, and the table holds what the rows hold."""
    found = analyses_table(outcomes, table)
    found.validate(full=True)
    assert found.schema == schema_of(table)
    assert found.num_rows == sum(len(list(rows_of(outcome, table))) for outcome in outcomes)


def test_every_outcome_is_a_row():
    """In order, failures too; and parts are found by the analysis's id."""
    outcomes = Outcomes(batches.outcomes(100))
    table = outcomes.to_arrow()
    assert table["id"].to_pylist() == [outcome.id for outcome in outcomes]
    assert table["ok"].to_pylist() == [outcome.ok for outcome in outcomes]
    topics = outcomes.to_arrow("topics")
    assert set(topics["analysis_id"].to_pylist()) <= set(table["id"].to_pylist())
    assert topics["n"].to_pylist()[:5] == [1, 2, 3, 4, 1]


@pytest.mark.untraced
def test_a_stream_is_read_as_it_comes():
    """In batches of ten thousand."""
    table = analyses_table(Outcome(id=f"ana_{n}") for n in range(20_001))
    assert [len(chunk) for chunk in table["id"].chunks] == [10_000, 10_000, 1]


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    """Before anything is read; and the rest of the room works."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = r"Arrow and Parquet need the extra `arrow`: pip install 'kallglot-async\[arrow\]'; CSV needs none"
    unread = iter([Outcome(id="ana_1")])
    calls = [lambda: analyses_table(unread), lambda: export(unread, "x.parquet"), lambda: export(unread, "x.arrow")]
    for call in calls:
        with pytest.raises(ConfigurationError, match=words):
            call()
    Outcomes(unread).to_csv(tmp_path / "out.csv")
    assert '"ana_1"' in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_what_the_extra_itself_lacks_is_not_called_the_extra(monkeypatch, tmp_path):
    """A broken installation says what it lacks."""
    (tmp_path / "pyarrow.py").write_text("import no_such_module")
    monkeypatch.delitem(sys.modules, "pyarrow")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Outcomes().to_arrow()


def test_a_table_that_is_not_there_is_refused():
    """In words, and with the names there are."""
    with pytest.raises(ConfigurationError, match="no table 'calls'"):
        analyses_table([], "calls")


def test_the_table_is_pyarrows_own():
    """And no look-alike."""
    assert isinstance(Outcomes().to_arrow(), pyarrow.Table)
