"""Outcomes that were printed, read back by what makes something of them."""

import io
import os
import signal
import sys

import pytest
from support.processes import posix, process
from support.slow import beyond

from kallglot_async.cli import main


def test_outcomes_come_from_standard_input(stored, outcomes, monkeypatch):
    """As the end of a pipe."""
    data = io.TextIOWrapper(io.BytesIO((stored / "outcomes.jsonl").read_bytes()))
    monkeypatch.setattr(sys, "stdin", data)
    assert main(["report", "-", "-o", "page.html"]) == 0
    assert (stored / "page.html").read_text(encoding="utf-8") == outcomes.to_html()


@posix
@pytest.mark.parametrize("number", beyond(1, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
async def test_a_signal_leaves_nothing_behind(stored, outcomes, number):
    """While it reads: the exit code is the signal's, and there is no file and no traceback."""
    async with process("report", "-", cwd=stored) as child:
        child.stdin.write((outcomes[0].to_json() + b"\n") * 2000)  # more than a pipe holds: it has begun to read
        await child.stdin.drain()
        child.send_signal(number)
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (128 + number, b"", b"")
    assert os.listdir(stored) == ["outcomes.jsonl"]


def test_standard_output_that_is_closed_takes_nothing(stored, monkeypatch, capsys):
    """Nothing is made for nobody."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["export", "outcomes.jsonl", "--to", "-", "--format", "csv"]) == 2
    assert capsys.readouterr().err == "kallglot: standard output is closed: there is nowhere to write to\n"
