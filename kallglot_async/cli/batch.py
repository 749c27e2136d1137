"""`kallglot get` and `kallglot wait`: one JSON line for each id, as it settles."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio

from kallglot_async import KallglotClient
from kallglot_async.cli.ids import Source
from kallglot_async.cli.options import Connection
from kallglot_async.cli.output import outcome_line
from kallglot_async.cli.progress import Display, open_display, show_progress
from kallglot_async.errors import (
    AuthenticationError,
    IdSourceError,
    InsufficientCreditsError,
    InvalidIdError,
    KallglotError,
    NotAttemptedError,
    PermissionDeniedError,
)
from kallglot_async.models import Outcome

__all__ = ["get", "wait"]

_BATCH_ENDING = (AuthenticationError, InsufficientCreditsError, PermissionDeniedError)


class Tally:
    """Writes outcomes and counts them."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._errors: Counter[str] = Counter()
        self.written = 0

    def write(self, outcome: Outcome) -> None:
        """Write the outcome's line."""
        self._display.write(outcome_line(outcome))
        self.written += 1
        if outcome.error is not None:
            self._errors[type(outcome.error).__name__] += 1

    @property
    def failed(self) -> int:
        """How many have no analysis."""
        return self._errors.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._errors.most_common())
        return f"{self.written - self.failed} fine, {self.failed} failed{f' ({kinds})' if kinds else ''}"


async def wait(
    source: Source, connection: Connection, *, timeout: float | None, total_timeout: float | None, quiet: bool
) -> int:
    """Wait for every id of the source, write its outcome when it is known, and return the exit code.

    A cancellation (Ctrl-C) first writes what had settled by then.
    """
    async with connection.client() as client:
        display = open_display("waiting", quiet=quiet)
        tally = Tally(display)
        call = client.as_completed(
            source, timeout=timeout, total_timeout=total_timeout, on_progress=show_progress(display)
        )
        with _shown(display, tally):
            async with call as finished:
                try:
                    async for outcome in finished:
                        tally.write(outcome)
                except asyncio.CancelledError:
                    # Settled in the very tick of the cancellation: taking these does not wait.
                    progress = finished.progress()
                    while tally.written < progress.settled + progress.failed:
                        tally.write(await anext(finished))
                    raise
    return 1 if tally.failed else 0


async def get(source: Source, connection: Connection, *, timeout: float | None, quiet: bool) -> int:
    """Fetch every id of the source once, write its outcome when it is known, and return the exit code."""
    async with connection.client() as client:
        if isinstance(source, list):
            client.as_completed(source)  # refuses an impossible id before anything is sent; is not entered
        display = open_display("fetching", quiet=quiet)
        fetch = _Fetch(client, source, Tally(display), display, timeout)
        with _shown(display, fetch.tally):
            await fetch.run(connection.max_in_flight)
    return 1 if fetch.tally.failed else 0


@contextmanager
def _shown(display: Display, tally: Tally) -> Iterator[None]:
    """Show the display, and say at the end, or when interrupted, what became of the batch."""
    try:
        with display:
            yield
    except asyncio.CancelledError:
        display.say(f"interrupted: {tally}")
        raise
    if tally.written != 1:  # one line speaks for itself
        display.say(f"done: {tally}")


class _Fetch:
    """Workers that take ids from one source in turn. `retrieve_many` alone would tell its outcomes at the end."""

    def __init__(
        self, client: KallglotClient, source: Source, tally: Tally, display: Display, timeout: float | None
    ) -> None:
        self.tally = tally
        self._client = client
        self._display = display
        self._timeout = timeout
        self._total = len(set(source)) if isinstance(source, list) else None
        self._ids = _distinct(source)
        self._turn = anyio.Lock()
        self._reason: KallglotError | None = None  # why the rest is not fetched

    async def run(self, workers: int) -> None:
        """Fetch everything.

        Raises:
            IdSourceError: The source cannot be read.
            BrokenPipeError: Nobody reads the lines.
        """
        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(workers, self._total or workers)):
                    group.start_soon(self._work)
        except BaseExceptionGroup as failures:
            failure = failures.exceptions[0]
            raise failure from failure.__cause__

    async def _work(self) -> None:
        while (id := await self._next_id()) is not None:
            self.tally.write(await self._fetch(id))
            self._display.update(self.tally.written, self._total, "")

    async def _next_id(self) -> str | None:
        async with self._turn:
            try:
                return await anext(self._ids, None)
            except (OSError, ValueError) as failure:
                raise IdSourceError(f"the ids cannot be read: {failure}") from failure

    async def _fetch(self, id: str) -> Outcome:
        if self._reason is not None:
            name = type(self._reason).__name__
            error = NotAttemptedError(
                f"analysis {id} was not attempted: the batch ended with {name}", id=id, reason=self._reason
            )
            return Outcome(id=id, error=error)
        try:
            (outcome,) = await self._client.analyses.retrieve_many([id], timeout=self._timeout)
        except InvalidIdError as invalid:
            return Outcome(id=invalid.id, error=invalid)
        if isinstance(outcome.error, _BATCH_ENDING):
            self._reason = outcome.error
        return outcome


async def _distinct(source: Source) -> AsyncIterator[str]:
    """Give each id of a list once; the ids of a file as they come."""
    if isinstance(source, list):
        for id in dict.fromkeys(source):
            yield id
        return
    async for id in source:
        yield id
