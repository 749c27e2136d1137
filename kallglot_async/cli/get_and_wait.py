"""`kallglot get` and `kallglot wait`: one JSON line for each id, as it settles; what `analyze` shares with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from kallglot_async.cli.ids import IdLines, Source
from kallglot_async.cli.options import Connection
from kallglot_async.cli.progress import Display, open_display, show_progress
from kallglot_async.cli.streams import tell
from kallglot_async.cli.text import clean
from kallglot_async.errors import IdSourceError, KallglotError, NotAttemptedError
from kallglot_async.models import Outcome

__all__ = ["Tally", "get", "shown", "wait"]

_CUT_SHORT = "the ids were not read to their end: those that were not have no line"


class Tally:
    """Writes outcomes and counts them.

    Args:
        display: How lines get to standard output.
        source: Where the ids come from.
    """

    def __init__(self, display: Display, source: Source) -> None:
        self._display = display
        self._source = source
        self._errors: Counter[str] = Counter()
        self._reason: KallglotError | None = None  # what ended the batch
        self.written = 0
        # Of a file nobody knows it before its end: it is read as there is room for more.
        self.total = len(set(source)) if isinstance(source, list) else None

    def write(self, outcome: Outcome) -> None:
        """Write the outcome's line."""
        self._display.write(outcome.to_json() + b"\n")
        self.written += 1
        if outcome.error is not None:
            self._errors[type(outcome.error).__name__] += 1
        if isinstance(outcome.error, NotAttemptedError):
            self._reason = self._reason or outcome.error.reason

    @property
    def failed(self) -> int:
        """How many have no analysis."""
        return self._errors.total()

    @property
    def is_cut_short(self) -> bool:
        """Whether the batch ended before the end of its ids was read, so that some may have no line."""
        return isinstance(self._source, IdLines) and not self._source.is_read

    @property
    def exit_code(self) -> int:
        """0 where every id has an analysis."""
        return 1 if self.failed or self.is_cut_short else 0

    def __str__(self) -> str:
        """Count, and name the cause before what followed from it: 1 refused key is more news than 199 ids it cost."""
        kinds = self._errors.copy()
        not_attempted = kinds.pop(NotAttemptedError.__name__, 0)
        parts = []
        if self._reason is not None:
            cause = type(self._reason).__name__
            # None where another call of this client had that answer.
            count = kinds.pop(cause, 0)
            parts.append(f"{f'{count} ' if count else ''}{cause}: {clean(self._reason)}")
        parts += [f"{count} {kind}" for kind, count in kinds.most_common()]
        parts += [f"{not_attempted} not attempted"] if not_attempted else []
        why = f" ({'; '.join(parts)})" if parts else ""
        return f"{self.written - self.failed} fine, {self.failed} failed{why}"


async def wait(
    source: Source, connection: Connection, *, timeout: float | None, total_timeout: float | None, quiet: bool
) -> int:
    """Wait for every id of the source, write its outcome when it is known, and return the exit code.

    A cancellation (Ctrl-C, SIGTERM, SIGHUP) first writes what had settled by then.
    """
    async with connection.client() as client:
        display = open_display("waiting", quiet=quiet)
        tally = Tally(display, source)
        call = client.as_completed(
            source, timeout=timeout, total_timeout=total_timeout, on_progress=show_progress(display)
        )
        with shown(display, tally):
            async with call as finished:
                try:
                    async for outcome in finished:
                        tally.write(outcome)
                except asyncio.CancelledError:
                    # Settled in the very tick of the cancellation.
                    for outcome in finished.take_ready():
                        tally.write(outcome)
                    tally.total = tally.written + finished.progress().pending
                    raise
    return tally.exit_code


async def get(source: Source, connection: Connection, *, timeout: float | None, quiet: bool) -> int:
    """Fetch every id of the source once, write its outcome when it is known, and return the exit code."""
    async with connection.client() as client:
        display = open_display("fetching", quiet=quiet)
        tally = Tally(display, source)

        def write(outcome: Outcome) -> None:
            tally.write(outcome)
            display.update(tally.written, tally.total, "")

        with shown(display, tally):
            await client.analyses.retrieve_many(
                source, timeout=timeout, max_in_flight=connection.max_in_flight, on_outcome=write
            )
    return tally.exit_code


@contextmanager
def shown(display: Display, tally: Tally, *, hint: str = "") -> Iterator[None]:
    """Show the display, and say at the end, or when interrupted, what became of the batch.

    A hint is for who goes on later with what was interrupted, or could not be written or read any more; it is said to
    the quiet, too.
    """
    try:
        with display:
            yield
    except asyncio.CancelledError:
        pending = "" if tally.total is None else f", {tally.total - tally.written} pending"
        display.say(f"interrupted: {tally}{pending}", waits=False)
        if tally.is_cut_short:
            display.say(_CUT_SHORT, waits=False)
        if hint:
            tell(hint, waits=False)
        raise
    except (OSError, IdSourceError):
        if hint:
            tell(hint)
        raise
    # One line speaks for itself.
    if tally.written != 1:
        display.say(f"done: {tally}")
    if tally.is_cut_short:
        tell(_CUT_SHORT)
