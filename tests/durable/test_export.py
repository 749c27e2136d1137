"""Outcomes into a file, in the form that its name says."""

import pytest
from support.durable import made
from support.values import analysis

from kallglot_async import BatchFile, ConfigurationError, NotFoundError, Outcome
from kallglot_async._durable.export import export

OUTCOMES = [Outcome(id="ana_1", analysis=analysis()), Outcome(id="ana_2", error=NotFoundError("gone", status=404))]


@pytest.mark.parametrize("name", ["OUT.JSONL", "Out.Csv", "out.HTML"])
def test_case_makes_no_difference_to_the_form(path, name):
    """As in `kallglot export`."""
    made(path)
    assert BatchFile(path).export(path.with_name(name)) == 0
    assert path.with_name(name).is_file()


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.html"])
def test_every_outcome_is_counted_and_written(tmp_path, name):
    """However its file is read: failures too."""
    assert export(OUTCOMES, tmp_path / name) == 2
    assert "ana_2" in (tmp_path / name).read_text()


@pytest.mark.parametrize("name", ["out", "out.xlsx", "out.jsonl.gz", "csv"])
def test_a_name_that_says_no_form_is_refused(tmp_path, name):
    """Before anything is read or written, with the names that would do."""
    with pytest.raises(ConfigurationError, match=r"end it with \.jsonl, \.arrow, \.csv, \.parquet or \.html"):
        export(iter(lambda: pytest.fail("it was read"), None), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path):
    """Whole or not at all: neither half of a file, nor another one beside it."""
    (tmp_path / "out.jsonl").write_text("older")

    def failing():
        yield OUTCOMES[0]
        raise LookupError("the file of the batch is damaged")

    with pytest.raises(LookupError):
        export(failing(), tmp_path / "out.jsonl")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out.jsonl", "older")]
