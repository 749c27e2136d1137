"""`kallglot export`: what get, wait and analyze printed, as tables."""

import io
import os
import sys
from typing import get_args

import pytest
from support.lazily import lazily

from kallglot_async import tables
from kallglot_async.cli import app, main

polars = lazily("polars")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_stored_outcomes_become_a_table(stored, outcomes, capsys, suffix):
    """Of all outcomes, by the ending of its name; where it is, is said to people."""
    assert main(["export", "outcomes.jsonl", "--to", f"out.{suffix}"]) == 0
    read = {"parquet": polars.read_parquet, "csv": polars.read_csv, "arrow": polars.read_ipc}[suffix]
    assert read(stored / f"out.{suffix}")["id"].to_list() == [outcome.id for outcome in outcomes]
    assert capsys.readouterr() == ("", f"analyses: {stored / f'out.{suffix}'}\n")


def test_every_table_comes_of_one_reading_of_a_pipe(stored, outcomes, monkeypatch):
    """Each in a file of its own."""
    data = io.TextIOWrapper(io.BytesIO((stored / "outcomes.jsonl").read_bytes()))
    monkeypatch.setattr(sys, "stdin", data)
    assert main(["export", "-", "--to", "out.parquet", "--table", "all", "--quiet"]) == 0
    assert sorted(os.listdir(stored)) == [
        "out.action_items.parquet",
        "out.key_moments.parquet",
        "out.parquet",
        "out.segments.parquet",
        "out.topics.parquet",
        "outcomes.jsonl",
    ]
    assert polars.read_parquet("out.topics.parquet").height == outcomes.to_arrow("topics").num_rows


@pytest.mark.parametrize("words", [["--to", "-"], ["--to=-"], ["--to", "/dev/stdout"]])
def test_a_dash_is_standard_output(stored, outcomes, capfd, words):
    """However it is spelled; a file of that name is none."""
    assert main(["export", "outcomes.jsonl", *words, "--format", "csv"]) == 0
    assert main(["report", "outcomes.jsonl", *(["-o-"] if words == ["--to=-"] else ["-o", "-"])]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    table, page, rest = out.partition("<!doctype html>")
    assert polars.read_csv(io.StringIO(table)).height == len(outcomes)
    assert page
    assert rest.rstrip().endswith("</html>")
    assert os.listdir(stored) == ["outcomes.jsonl"]


def test_tables_and_format_are_chosen(stored):
    """Options may stand before the file; the name may end as it likes."""
    argv = [
        "export",
        "--table",
        "topics",
        "--table",
        "analyses",
        "outcomes.jsonl",
        "--format",
        "csv",
        "--to",
        "out.txt",
    ]
    assert main(argv) == 0
    assert polars.read_csv("out.txt").columns == ["analysis_id", "n", "name", "confidence"]
    assert polars.read_csv("out.analyses.txt").height == 40


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["outcomes.jsonl", "--to", "out.xlsx"], "'out.xlsx' ends with no known format: choose from parquet, csv"),
        (["outcomes.jsonl", "--to", "out.csv", "--table", "calls"], '"segments", "key_moments", "all"'),
        (["outcomes.jsonl"], "--to requires an argument"),
        (["missing.jsonl", "--to", "out.csv"], "cannot read missing.jsonl: No such file"),
        (["broken.jsonl", "--to", "out.parquet", "--table", "all"], "broken.jsonl: line 2 cannot be read: "),
        (["outcomes.jsonl", "--to", "./outcomes.jsonl", "--format", "csv"], "which would be lost: name another file"),
        (["outcomes.jsonl", "--to", "no/out.csv"], "no/out.csv: No such file"),
        (["outcomes.jsonl", "--to", "-"], "give --format parquet, csv or arrow"),
        (["nightly.kallglot", "--to", "out.csv"], "nightly.kallglot is the file of a batch: use kallglot batch export"),
        (["outcomes.jsonl", "--to", "-", "--format", "csv", "--table", "all"], "takes one table"),
    ],
)
def test_what_cannot_be_done_is_one_line(stored, outcomes, capsys, argv, words):
    """Exit code 2; and there is no table, nor half of one."""
    (stored / "broken.jsonl").write_bytes(outcomes[0].to_json() + b'\n{"id": "ana_1"\n')
    (stored / "nightly.kallglot").write_bytes(b"SQLite format 3\0" + bytes(84))
    assert main(["export", *argv]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(stored)) == ["broken.jsonl", "nightly.kallglot", "outcomes.jsonl"]


def test_the_choices_are_the_tables_own():
    """They are restated so that `--help` is quick; this keeps them the same."""
    assert get_args(app.Table) == (*tables.TABLES, "all")
    assert get_args(app.TableFormat) == get_args(tables.Format)
