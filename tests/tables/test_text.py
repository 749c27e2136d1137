"""CSV: exact, and inert in a spreadsheet."""

import csv
import io

import hypothesis.strategies as st
import pytest
from hypothesis import given
from support import batches
from support.oddities import odd_outcomes

from kallglot_async.errors import NotFoundError
from kallglot_async.models import Outcome
from kallglot_async.tables.rows import AnalysisRow, TopicRow, rows_of
from kallglot_async.tables.text import csv_head, csv_lines


def cells(text, *, exact=False):
    """The description in a line of CSV, read back."""
    line = csv_lines([TopicRow(analysis_id="ana_1", n=1, name=text, confidence=None)], exact=exact)
    ((id, n, name, confidence),) = csv.reader(io.StringIO(line, newline=""), strict=True)
    assert (id, n, confidence) == ("ana_1", "1", "")
    return name


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+49 30 1234", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n1", " =1", "＝1", "－1", "'=1", "'"],  # noqa: RUF001
)
def test_no_spreadsheet_runs_what_was_said(text):
    """It begins with an apostrophe then, and one apostrophe less is what was said."""
    assert cells(text) == "'" + text
    assert cells(text, exact=True) == text


@pytest.mark.parametrize("text", ["", "1 = 1", "A-Z", "x@example.org", "(+49)", " 'x", "a\r\nb"])
def test_other_texts_are_left_as_they_are(text):
    """Signs inside of a text are no formula."""
    assert cells(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_every_text_can_be_read_back(text):
    """By who takes one leading apostrophe off; and never does one begin as a formula."""
    found = cells(text)
    assert found.removeprefix("'") == text
    assert found.strip()[:1] not in {"=", "+", "-", "@"}
    assert cells(text, exact=True) == text


def test_null_is_nothing_and_an_empty_text_is_two_quotes():
    """Numbers, flags, moments and lists are written so that they are read back as they were."""
    empty = TopicRow(analysis_id="", n=1, name=None, confidence=0.1)
    assert csv_lines([empty], exact=False) == '"",1,,0.1\n'
    line = csv_lines(rows_of(next(batches.outcomes(1)), "analyses"), exact=False)
    assert line.startswith(
        '"ana_01BATCH00000000","a","sess_000000000000","complete",true,,,1,2.5,2026-03-02T09:00:00Z,'
    )
    assert '"[""Invoice 13884 shows' in line


def test_a_line_has_every_column_whatever_is_in_it():
    """Odd texts, failures and line ends do not move a cell."""
    outcomes = [*odd_outcomes(), Outcome(id='a",\r\n"b', error=NotFoundError('"'))]
    text = csv_head(AnalysisRow) + csv_lines(
        [row for each in outcomes for row in rows_of(each, "analyses")], exact=True
    )
    head, *rows = csv.reader(io.StringIO(text.replace("\x00", "?"), newline=""), strict=True)
    assert head == list(AnalysisRow.__struct_fields__)
    assert {len(row) for row in rows} == {len(head)}
    assert rows[-1][0] == 'a",\r\n"b'
