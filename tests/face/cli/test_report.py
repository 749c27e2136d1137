"""`kallglot report`: what get, wait and analyze printed, as a page."""

import os
import webbrowser

import pytest

from kallglot_async.cli import main


def test_stored_outcomes_become_the_page_of_the_library(stored, outcomes, capsys):
    """Byte for byte; where it is, is said to people and not to programs."""
    assert main(["report", "outcomes.jsonl", "-o", "page.html", "--title", "Last <week>"]) == 0
    assert (stored / "page.html").read_text(encoding="utf-8") == outcomes.to_html(title="Last <week>")
    assert capsys.readouterr() == ("", f"report: {stored / 'page.html'}\n")


def test_without_a_name_it_is_report_html(stored, capsys):
    """In this directory; and the quiet hear nothing."""
    assert main(["report", "outcomes.jsonl", "--quiet"]) == 0
    assert (stored / "report.html").is_file()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("has_browser", "words"), [(True, []), (False, ["kallglot: there is no browser to open it with"])]
)
def test_a_browser_shows_it(stored, capsys, monkeypatch, has_browser, words):
    """By its address; that there is none is no failure."""
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda address: shown.append(address) or has_browser)
    assert main(["report", "outcomes.jsonl", "--open"]) == 0
    assert shown == [(stored / "report.html").as_uri()]
    assert capsys.readouterr().err.splitlines()[1:] == words


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["missing.jsonl"], "cannot read missing.jsonl: No such file"),
        (["broken.jsonl"], "broken.jsonl: line 2 cannot be read: "),
        (["outcomes.jsonl", "-o", "./outcomes.jsonl"], "which would be lost: name another file"),
        (["outcomes.jsonl", "-o", "no/page.html"], "no/page.html: No such file"),
        (["outcomes.jsonl", "-o", "-", "--open"], "has no address to open: name a file"),
        ([], "requires an argument"),
    ],
)
def test_what_cannot_be_done_is_one_line(stored, outcomes, capsys, argv, words):
    """Exit code 2; and there is no page, nor half of one."""
    (stored / "broken.jsonl").write_bytes(outcomes[0].to_json() + b'\n{"id": "ana_1"\n')
    assert main(["report", *argv]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(stored)) == ["broken.jsonl", "outcomes.jsonl"]
