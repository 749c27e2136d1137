"""Tables in files, read back by those who read tables."""

import io
import os
import tempfile
import tracemalloc

import pytest
from support import batches
from support.lazily import lazily
from support.oddities import odd_outcomes

from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Outcome, Outcomes
from kallglot_async.tables import TABLES, analyses_table, export, open_tables, write_csv

duckdb, pandas, polars, pyarrow = lazily("duckdb", "pandas", "polars", "pyarrow")

OUTCOMES = Outcomes([*batches.outcomes(200, days=3, revisions="aab"), *odd_outcomes()])
COUNTS = (len(OUTCOMES), len(OUTCOMES.analyses), sum(o.ok and o.analysis.results is not None for o in OUTCOMES))


@pytest.mark.parametrize("table", TABLES)
def test_parquet_and_arrow_hold_what_the_table_holds(tmp_path, table):
    """Value by value, schema and all."""
    expected = OUTCOMES.to_arrow(table)
    for name in ("out.parquet", "out.arrow"):
        assert export(OUTCOMES, tmp_path / name, tables=[table]) == {table: tmp_path / name}
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").equals(expected)
    with pyarrow.memory_map(str(tmp_path / "out.arrow")) as file:
        assert pyarrow.ipc.open_file(file).read_all().equals(expected)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_polars_reads_it(tmp_path, suffix):
    """Counts stay honest, and texts are as they were."""
    export(OUTCOMES, path := tmp_path / f"out.{suffix}", exact=True)
    read = {"parquet": polars.read_parquet, "csv": polars.read_csv, "arrow": polars.read_ipc}[suffix]
    frame = read(path)
    assert (frame.height, frame["ok"].sum(), frame["sentiment"].count()) == COUNTS
    assert frame["summary"].to_list() == OUTCOMES.to_arrow()["summary"].to_pylist()


def test_pandas_reads_it(tmp_path):
    """Parquet and CSV alike."""
    export(OUTCOMES, tmp_path / "out.parquet")
    frame = pandas.read_parquet(tmp_path / "out.parquet")
    assert (len(frame), frame["ok"].sum(), frame["sentiment"].count()) == COUNTS
    assert frame["created_at"].dtype.tz is not None
    export(OUTCOMES, tmp_path / "out.csv", exact=True)
    again = pandas.read_csv(tmp_path / "out.csv", parse_dates=["created_at"])
    assert (len(again), again["ok"].sum(), again["sentiment"].count()) == COUNTS
    assert (again["created_at"].dropna() == frame["created_at"].dropna()).all()


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_duckdb_reads_it(tmp_path, suffix):
    """And joins the tables by the analysis's id."""
    paths = export(batches.outcomes(300), tmp_path / f"out.{suffix}", tables=TABLES)
    with duckdb.connect() as db:
        query = f"""select count(*), count(distinct a.id), max(t.n) from '{paths["analyses"]}' a
                    join '{paths["topics"]}' t on t.analysis_id = a.id where a.ok"""  # noqa: S608
        topics = analyses_table(batches.outcomes(300), "topics")
        ids = set(topics["analysis_id"].to_pylist())
        assert db.sql(query).fetchall() == [(topics.num_rows, len(ids), 4)]
        failed = db.sql(f"select count(*) from '{paths['analyses']}' where error_type is not null").fetchall()  # noqa: S608
    assert failed == [(sum(not outcome.ok for outcome in batches.outcomes(300)),)]


def test_several_tables_are_beside_each_other_after_one_reading(tmp_path):
    """The first under the name that was given."""
    paths = export(iter(OUTCOMES), tmp_path / "out.csv", tables=["topics", "analyses", "topics"])
    assert paths == {"topics": tmp_path / "out.csv", "analyses": tmp_path / "out.analyses.csv"}
    assert sorted(os.listdir(tmp_path)) == ["out.analyses.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"analysis_id","n","name"')


@pytest.mark.untraced
@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_what_fails_leaves_no_half_of_a_file(tmp_path, suffix):
    """Whatever the source raises, after however many rows; a file that was there stays."""
    (tmp_path / f"out.{suffix}").write_bytes(b"old")

    def broken():
        yield from (Outcome(id=f"ana_{n}") for n in range(10_001))
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        export(broken(), tmp_path / f"out.{suffix}", tables=["analyses", "topics"])
    assert os.listdir(tmp_path) == [f"out.{suffix}"]
    assert (tmp_path / f"out.{suffix}").read_bytes() == b"old"


@pytest.mark.untraced
def test_outcomes_are_written_as_they_come(tmp_path):
    """From whatever stream; the first ten thousand are written while others are awaited."""
    target = tmp_path / "out.csv"
    with open_tables(target) as files:
        (part,) = tmp_path.iterdir()
        head = part.stat().st_size
        for n in range(9_999):
            files.write(Outcome(id=f"ana_{n}"))
        assert part.stat().st_size == head
        files.write(Outcome(id="ana_9999"))
        assert part.stat().st_size > 10_000
        files.write(Outcome(id="ana_last"))
    assert files.paths == {"analyses": target}
    assert polars.read_csv(target)["id"].to_list()[-2:] == ["ana_9999", "ana_last"]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_a_stream_of_nothing_is_an_empty_table(tmp_path, suffix):
    """With its columns."""
    export([], path := tmp_path / f"out.{suffix}")
    read = {"parquet": polars.read_parquet, "csv": polars.read_csv, "arrow": polars.read_ipc}[suffix]
    frame = read(path)
    assert (frame.height, frame.columns) == (0, Outcomes().to_arrow().column_names)


@pytest.mark.slow  # what allocates is traced
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_long_stream_takes_no_more_memory_than_a_short_one(tmp_path, suffix):
    """Some rows wait to be written, not all: three times as many need no more at their worst."""

    def peak(count):
        tracemalloc.start()
        export((Outcome(id=f"ana_{n:040d}") for n in range(count)), tmp_path / f"out.{suffix}")
        worst = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return worst

    peak(1)  # what is loaded once
    assert peak(45_000) < 1.2 * peak(15_000)


def test_csv_goes_to_paths_and_files_of_bytes_or_text(tmp_path):
    """The same text each time, and a file object stays open."""
    raw, text = io.BytesIO(), io.StringIO()
    write_csv(OUTCOMES, raw)
    OUTCOMES.to_csv(text, table="analyses")
    OUTCOMES.to_csv(tmp_path / "out.csv")
    assert raw.getvalue() == text.getvalue().encode() == (tmp_path / "out.csv").read_bytes()
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8", newline="") as wrapped:
        OUTCOMES.to_csv(wrapped)
        wrapped.seek(0)
        assert wrapped.read() == text.getvalue()
    OUTCOMES.to_csv(str(tmp_path / "topics.txt"), table="topics", exact=True)
    assert polars.read_csv(tmp_path / "topics.txt").height == OUTCOMES.to_arrow("topics").num_rows


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: export([], "out.xlsx"), "'out.xlsx' ends with no known format: choose from parquet, csv, arrow"),
        (lambda: export([], "out", format="xlsx"), "there is no format 'xlsx'"),
        (lambda: export([], "out.csv", tables=["calls"]), "there is no table 'calls'"),
        (lambda: export([], io.BytesIO(), format="csv"), "path of a file is a text"),
        (lambda: Outcomes().to_jsonl(""), "path of a file is a text that is not empty, not ''"),
        (lambda: write_csv([], 7), "CSV goes to a path or a file object, not int"),
    ],
    ids=["suffix", "format", "table", "file object", "empty path", "target"],
)
def test_what_cannot_be_written_is_said_before_anything_is(tmp_path, monkeypatch, call, words):
    """With what was wrong, and what to choose from."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        call()
    assert os.listdir(tmp_path) == []
