"""The page in a file."""

import io

import pytest
from support import batches
from support.batches import TODAY, page

from kallglot_async import ConfigurationError
from kallglot_async.report.file import write_report


def test_the_file_is_the_page_and_replaces_what_was_there(tmp_path, monkeypatch):
    """Where it is, is returned in full, however it was named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").write_text("older" * 100_000)
    written = write_report(batches.outcomes(3), "report.html", today=TODAY)
    assert written == tmp_path / "report.html"
    assert written.read_bytes().decode() == page(batches.outcomes(3))
    assert list(tmp_path.iterdir()) == [written]


def test_what_cannot_be_made_leaves_what_was_there(tmp_path):
    """A batch that fails on the way, and a name that promises another form."""

    def failing():
        yield from batches.outcomes(1)
        raise LookupError

    (tmp_path / "report.html").write_text("older")
    with pytest.raises(LookupError):
        write_report(failing(), tmp_path / "report.html")
    with pytest.raises(ConfigurationError):
        write_report([], tmp_path / "report.html.gz")
    with pytest.raises(ConfigurationError, match="path of a file"):
        write_report(failing(), io.BytesIO())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "older")]
