"""Batches as tables: Arrow, Parquet and CSV, with one schema whatever the data is.

A row of the table `analyses` is an outcome, and failures are rows too: counts stay honest. What an analysis has many
of is in tables of its own, `action_items`, `topics`, `segments` and `key_moments`, by `analysis_id` and `n`, which
counts from 1 in the order of the analysis. Each table's columns, their types and units are the fields of its row in
`tables.rows`; the types of Arrow are in `tables.arrow`, the text of CSV in `tables.text`.

    outcomes.to_arrow()                              # a pyarrow.Table; extra `arrow`
    outcomes.to_arrow("action_items")
    outcomes.to_csv("analyses.csv")                  # base install
    export(read_jsonl("outcomes.jsonl"), "out.parquet", tables=TABLES)

From the bottom: `rows` (what is in a row), `text` (CSV), `arrow` (Arrow and Parquet), `files` (from a stream of
outcomes into files, in bounded memory).
"""

from __future__ import annotations

from kallglot_async.tables.arrow import analyses_table
from kallglot_async.tables.files import Format, TableFiles, export, open_tables, write_csv
from kallglot_async.tables.rows import TABLES, ActionItemRow, AnalysisRow, KeyMomentRow, SegmentRow, TableName, TopicRow

__all__ = [
    "TABLES",
    "ActionItemRow",
    "AnalysisRow",
    "Format",
    "KeyMomentRow",
    "SegmentRow",
    "TableFiles",
    "TableName",
    "TopicRow",
    "analyses_table",
    "export",
    "open_tables",
    "write_csv",
]
