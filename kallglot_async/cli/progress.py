"""How far a batch has come, on standard error: a live line on a terminal, else a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Self, cast

from kallglot_async.cli.streams import Unhurried, drop, is_clear, tell, write_line
from kallglot_async.models import Progress

__all__ = ["Display", "LiveDisplay", "PlainDisplay", "open_display", "show_progress"]

# Seconds between two plain lines: each time twice as long, so that a short batch is seen moving and a long one
# does not fill a log.
_FIRST, _LONGEST = 1.0, 60.0
_DUMB = frozenset({"dumb", "unknown"})  # as rich has it, which then does not redraw


class Display:
    """Shows nothing: the display of `--quiet`, and what the others have in common. Enter it before using it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, done: int, total: int | None, note: str) -> None:
        """Show that `done` of `total` are done; `note` says the rest."""

    def write(self, line: bytes) -> None:
        """Write a line to standard output without getting in its way."""
        write_line(line)

    def say(self, text: str, *, waits: bool = True) -> None:
        """Print a line for people to standard error.

        Args:
            text: The line.
            waits: Whether to wait for a reader that takes nothing now, where no display is in the way.
        """

    def close(self) -> None:
        """Take the display away."""


class PlainDisplay(Display):
    """A line now and then, for logs and pipes.

    Args:
        label: What is being done.
        keeps: Whether the last state is printed at the end.
        clock: Monotonic seconds.
    """

    def __init__(self, label: str, *, keeps: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._keeps = keeps
        self._clock = clock
        self._interval = _FIRST
        self._due_at = clock() + _FIRST
        self._unsaid = ""

    def update(self, done: int, total: int | None, note: str) -> None:
        """Print a line if the last one is old enough."""
        whole = "" if total is None else f" of {total}"
        self._unsaid = f"{self._label}: {done}{whole}{', ' if note else ''}{note}"
        now = self._clock()
        # Not while it would have to wait for its reader: no line is worth that, and the next one says more.
        if now >= self._due_at and (sys.stderr is None or is_clear(sys.stderr)):
            self._interval = min(2.0 * self._interval, _LONGEST)
            self._due_at = now + self._interval
            self.say(self._unsaid)
            self._unsaid = ""

    def say(self, text: str, *, waits: bool = True) -> None:
        """Print a line for people to standard error."""
        tell(text, waits=waits)

    def close(self) -> None:
        """Print the last state, where it is to stay."""
        if self._keeps and self._unsaid:
            self.say(self._unsaid)
        self._unsaid = ""


class LiveDisplay(Display):
    """A bar that is redrawn in place, on a terminal.

    Args:
        label: What is being done.
        keeps: Whether the bar stays on the screen at the end.
    """

    def __init__(self, label: str, *, keeps: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        # Its thread draws under the lock that `update` takes: it may not wait for a terminal.
        terminal = cast("IO[str]", Unhurried(sys.stderr))
        self._console = Console(file=terminal, highlight=False, markup=False, emoji=False)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            transient=not keeps,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task(label, total=None, note="")
        # Then a line has to be written while no bar is drawn, or the bar would be left behind in the middle of it.
        self._shares_terminal = sys.stdout is not None and sys.stdout.isatty()

    def __enter__(self) -> Self:
        with _unheard():
            self._bars.start()
        return self

    def update(self, done: int, total: int | None, note: str) -> None:
        """Redraw the bar soon; as often as it is called costs nothing more."""
        self._bars.update(self._task, completed=done, total=total, note=note)

    def write(self, line: bytes) -> None:
        """Write a line to standard output; where that is the same terminal, above the bar."""
        if not self._shares_terminal:
            write_line(line)
            return
        with _unheard():
            self._bars.stop()
        write_line(line)
        with _unheard():
            self._bars.start()

    def say(self, text: str, *, waits: bool = True) -> None:
        """Print a line for people, above the bar while there is one."""
        if not self._bars.live.is_started:
            tell(text, waits=waits)
            return
        with _unheard():
            self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Stop redrawing."""
        with _unheard():
            self._bars.stop()


@contextmanager
def _unheard() -> Iterator[None]:
    """Go on where the terminal has gone: the lines that were asked for are written elsewhere."""
    try:
        yield
    except OSError:
        drop(sys.stderr)


def open_display(label: str, *, quiet: bool = False, keeps: bool = False) -> Display:
    """Return the display that suits standard error."""
    if quiet:
        return Display()
    # A terminal that cannot move its cursor would show each state of a bar below the one before.
    is_live = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in _DUMB
    return LiveDisplay(label, keeps=keeps) if is_live else PlainDisplay(label, keeps=keeps)


def show_progress(display: Display) -> Callable[[Progress], None]:
    """Return an `on_progress` callback that shows a wait's snapshots."""

    def show(progress: Progress) -> None:
        display.update(progress.settled + progress.failed, progress.total, _note(progress))

    return show


def _note(progress: Progress) -> str:
    limit = progress.rate_limit
    notes = [f"{progress.failed} failed"] if progress.failed else []
    notes.append("1 request" if progress.requests == 1 else f"{progress.requests} requests")
    notes += [f"{limit.refused} refused"] if limit.refused else []
    if limit.paused_for:
        notes.append(f"rate limit: next window in {limit.paused_for:.0f} s")
    elif limit.limit is not None and limit.remaining is not None:
        notes.append(f"rate limit: {limit.remaining} of {limit.limit} left")
    return ", ".join(notes)
