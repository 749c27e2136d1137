"""Progress: what people see on standard error."""

import asyncio
import contextlib
import io
import json
import os
import re
import select
import signal
import sys

import pytest
from support.processes import half_ready, posix, process, read_terminal, ready

from kallglot_async.cli.progress import Display, LiveDisplay, PlainDisplay, open_display, show_progress
from kallglot_async.models import Progress, RateLimitState


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Returns a call that makes standard error a terminal; not earlier, as the capture is set up after fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def pretend():
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return pretend


def snapshot(**changes):
    limit = RateLimitState(limit=150, remaining=120, refused=changes.pop("refused", 0), paused_for=changes.pop("p", 0))
    values = {"total": 10, "settled": 4, "failed": 0, "pending": 6, "requests": 9, "rate_limit": limit} | changes
    return Progress(**values)


def test_plain_lines_come_ever_more_seldom(capsys):
    """After 1 s, then 2 s later, then 4 s later; not for every snapshot."""
    now = 0.0
    display = PlainDisplay("waiting", clock=lambda: now)
    shown_at = []
    for tenth in range(200):
        now = tenth / 10
        display.update(tenth, 200, "")
        if capsys.readouterr().err:
            shown_at.append(now)
    assert shown_at == [1.0, 3.0, 7.0, 15.0]


def test_plain_lines_say_what_a_snapshot_holds(capsys):
    """Counts first; refusals, failures and pauses only where there are some."""
    now = 0.0
    display = PlainDisplay("waiting", clock=lambda: now)
    show = show_progress(display)
    now = 1.0
    show(snapshot())
    now = 10.0
    show(snapshot(total=None, failed=2, requests=1, refused=3, p=2.4))
    assert capsys.readouterr().err.splitlines() == [
        "waiting: 4 of 10, 9 requests, rate limit: 120 of 150 left",
        "waiting: 6, 2 failed, 1 request, 3 refused, rate limit: next window in 2 s",
    ]


def test_a_display_that_keeps_prints_the_last_state_at_the_end(capsys):
    """Once, and only if it has not been printed already."""
    with PlainDisplay("creating", keeps=True) as display:
        display.update(3, 3, "")
    display.close()
    assert capsys.readouterr().err == "creating: 3 of 3\n"
    with PlainDisplay("waiting") as display:
        display.update(3, 3, "")
    assert capsys.readouterr().err == ""


@posix
def test_plain_lines_wait_for_no_reader(monkeypatch):
    """While a pipe is full nothing is said; then the newest state is."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    now = 0.0
    with os.fdopen(reader, "rb", buffering=0) as read, os.fdopen(writer, "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        display = PlainDisplay("waiting", clock=lambda: now)
        now = 2.0
        display.update(1, 3, "")
        display.say("interrupted", waits=False)
        while select.select([read], [], [], 0.0)[0]:
            assert set(read.read(65536)) == {ord("x")}
        display.update(2, 3, "")
        assert read.read(100) == b"waiting: 2 of 3\n"


def test_the_display_suits_standard_error(terminal, monkeypatch):
    """Nothing when quiet, a live bar on a terminal, lines elsewhere."""
    terminal()
    assert type(open_display("waiting", quiet=True)) is Display
    assert type(open_display("waiting")) is LiveDisplay
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(open_display("waiting")) is PlainDisplay


def test_a_quiet_display_says_nothing(capsysbinary):
    """Not a byte beside the lines themselves."""
    with Display() as display:
        display.update(1, 2, "note")
        display.say("text")
        display.write(b"line\n")
    assert capsysbinary.readouterr() == (b"line\n", b"")


def test_the_live_bar_shows_the_state_and_goes_away(terminal):
    """Markup in a note is text, and the cursor is given back."""
    stderr = terminal()
    with LiveDisplay("waiting") as display:
        display.update(7, 9, "a [red]note[/red]")
        display.say("a [bold]line[/bold]")
    shown = stderr.getvalue()
    assert "7/9" in shown
    assert "a [red]note[/red]" in shown
    assert "a [bold]line[/bold]" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.parametrize("shares", [True, False])
def test_lines_are_written_above_the_live_bar_where_both_share_a_terminal(terminal, capsysbinary, monkeypatch, shares):
    """The bar is taken away before the line is written; a pipe needs no such care."""
    stderr = terminal()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: shares)
    with LiveDisplay("waiting") as display:
        display.write(b"line\n")
        shown = stderr.getvalue()
        assert ("\x1b[?25h" in shown) == shares  # the cursor comes back when the bar goes
    assert capsysbinary.readouterr().out == b"line\n"


def plain_text(shown):
    """What a terminal shows, without what moves its cursor or colours it."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)


@posix
@pytest.mark.slow
async def test_on_a_terminal_lines_and_the_bar_do_not_mix():
    """With one terminal for both, every JSON line is whole and begins at the left margin."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        leader, follower = os.openpty()
        options = {"stdin": follower, "stdout": follower, "stderr": follower}
        async with process("wait", *ids, server=server, **options) as child:
            os.close(follower)
            done = f"{len(settled)}/20".encode()
            shown = await asyncio.to_thread(read_terminal, leader, lambda shown: done in plain_text(shown))
            child.send_signal(signal.SIGINT)
            shown += await asyncio.to_thread(read_terminal, leader)
            assert await child.wait() == 130
        os.close(leader)
    plain = plain_text(shown)
    lines = [json.loads(line) for line in re.split(rb"[\r\n]+", plain) if line.startswith(b"{")]
    assert {line["id"] for line in lines} == settled
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # the cursor is given back
