"""`Asking`: requests the analyses of sessions so that a kill at any moment has none requested, and paid for, twice.

| in the file | meaning                                                  | the next run                          |
|-------------|----------------------------------------------------------|---------------------------------------|
| `left`      | nothing was sent                                         | requests it                           |
| `asked`     | written before the request; its answer was not           | repeats it under the same key,        |
|             |                                                          | for as long as the API remembers keys |
| `created`   | the analysis' id was written before its first poll       | waits for it                          |
| `uncertain` | `asked` for longer than the API remembers keys           | leaves it, or pays again if told to   |

An idempotency key is made of the file's name, the number of tries and the session's id, so that it needs no place of
its own. Only what failed, and is to be tried anew, has another number of tries.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby

from kallglot_async import errors
from kallglot_async._core.api.meaning import meaning_of
from kallglot_async._durable.file import start_anew
from kallglot_async._durable.identity import BatchIdentity
from kallglot_async._durable.rows import error_text
from kallglot_async._durable.runner import Run
from kallglot_async._durable.source import Listed, items
from kallglot_async.models import Analysis, Outcome

__all__ = ["KEY_LIFE", "Asking"]

KEY_LIFE = 24 * 3600.0  # seconds for which the API remembers an idempotency key: "about 24 hours"
_SKEW = 300.0  # seconds by which the clock may have been set back since: how long ago more than that was, nobody knows
_CHUNK = 5_000  # sessions of one call, which remembers its outcomes; each call ends with a wait for its last ones
_AT_ONCE = 16  # sessions marked as asked in one commit: as many requests as `analyze_many` has in flight


class Asking:
    """What a run does where analyses are requested.

    Args:
        run: The run.
        identity: What is asked for, and the name that keys are made of.
    """

    def __init__(self, run: Run, identity: BatchIdentity) -> None:
        self._run = run
        self._identity = identity
        self._fresh: set[str] = set()  # sessions that this run was the first to mark, and that have no outcome yet

    async def analyze(self, *, pay_again: bool) -> None:
        """Wait for what was created before, then request what is left, and wait for that."""
        writer = self._run.writer
        # First of all: the API may have forgotten the keys of a day ago, so the same request would be paid for again.
        await self._doubt(time.time())
        if pay_again:
            await writer.call(partial(start_anew, state="uncertain"))
        # What is paid for comes first: a run that ends early has then left behind what cost nothing.
        await self._run.wait(self._run.select("created", is_created=True))
        if self._run.is_over():
            return
        selections = self._run.select("asked", "left", is_created=False)
        async with aclosing(items(writer, selections, _CHUNK)) as chunks:
            async for chunk in chunks:
                # Keys are made of the name and the number of tries, and one call has one name.
                for tries, group in groupby(chunk, key=lambda item: item.tries):
                    await self._request(list(group), tries)
                    if self._run.is_over():
                        return

    async def _request(self, sessions: Sequence[Listed], tries: int) -> None:
        options = self._run.options
        given: set[str] = set()
        try:
            await self._run.client.analyze_many(
                self._marked(sessions, given),
                batch=_batch_of(self._identity.name, tries),
                timeout=options.timeout,
                total_timeout=self._run.time_left(),
                max_in_flight=options.max_in_flight,
                on_outcome=self._keep,
                on_created=self._note_created,
                **self._identity.request,
            )
        finally:
            # A broken one takes no more jobs. What stays marked is asked for under the same key, which costs nothing.
            if not self._run.writer.is_broken:
                # Those were marked, and the call was over before it took them.
                self._release(self._fresh - given)
            self._fresh.clear()

    async def _marked(self, sessions: Sequence[Listed], given: set[str]) -> AsyncGenerator[str, None]:
        """Give the sessions, each once the file says that it is being asked for."""
        for first in range(0, len(sessions), _AT_ONCE):
            portion, now = sessions[first : first + _AT_ONCE], time.time()
            # Meanwhile: a run may take longer than a key lives.
            if any(_is_forgotten(item, now) for item in portion):
                await self._doubt(now)
                portion = [item for item in portion if not _is_forgotten(item, now)]
            new = [item.id for item in portion if item.asked_at is None]
            # Before the commit is awaited: cancelled in it, they may be marked all the same, and have to be released.
            self._fresh.update(new)
            await self._run.writer.call(partial(_mark, new, now))
            for item in portion:
                given.add(item.id)
                yield item.id

    async def _doubt(self, now: float) -> None:
        await self._run.writer.call(partial(_doubt, name=self._identity.name, now=now))

    async def _note_created(self, session: str, analysis: Analysis) -> None:
        """Have it on the disk that an analysis is paid for, before it is polled."""
        await self._run.writer.call(partial(_note, session, analysis.id))

    async def _keep(self, outcome: Outcome) -> None:
        is_fresh = outcome.id in self._fresh
        self._fresh.discard(outcome.id)
        if is_fresh and isinstance(outcome.error, errors.NotAttemptedError):
            self._release({outcome.id})
        await self._run.keep(outcome)
        # The API has said no, so nothing was created: in a day there is nothing to be in doubt of.
        if is_fresh and _is_refused(outcome.error):
            self._run.writer.put(partial(_forget, {outcome.id}))

    def _release(self, sessions: set[str]) -> None:
        """Take back that sessions are being asked for: nothing was sent for them."""
        if sessions:
            self._run.writer.put(partial(_take_back, sessions))


def _batch_of(name: str, tries: int) -> str:
    return f"{name}:{tries}"


def _is_forgotten(item: Listed, now: float) -> bool:
    """Whether the API may have no more the key under which it was asked for."""
    return item.asked_at is not None and not now - KEY_LIFE <= item.asked_at <= now + _SKEW


def _is_refused(error: errors.KallglotError | None) -> bool:
    """Whether the API has said no to the one request that was sent, so that nothing can have been created."""
    if not isinstance(error, errors.APIError) or error.id is not None:
        return False
    if isinstance(error, errors.RateLimitedError):
        # A refusal for rate is no attempt: nothing but refusals came back, and none of them created anything.
        return error.attempts == 0
    return error.attempts <= 1 and not meaning_of(error).passes


# -- jobs of the writer


def _doubt(connection: sqlite3.Connection, *, name: str, now: float) -> None:
    """Mark what was asked for, and never answered, under a key that may be forgotten."""
    query = "SELECT id, tries FROM item WHERE state IN ('asked', 'given_up') AND analysis_id IS NULL"
    query += " AND asked_at NOT BETWEEN ? AND ?"
    rows = []
    for session, tries in connection.execute(query, (now - KEY_LIFE, now + _SKEW)).fetchall():
        error = errors.RequestError(
            f"the request for the analysis of {session} was interrupted more than 24 hours ago, or by a clock that "
            "was ahead of this one: whether it was created, and paid for, is not known",
            operation="analyses.create",
        )
        error.idempotency_key = f"{_batch_of(name, tries)}:{session}"
        rows.append((error_text(error), session))
    connection.executemany("UPDATE item SET state = 'uncertain', error = ? WHERE id = ?", rows)


def _mark(sessions: Sequence[str], now: float, connection: sqlite3.Connection) -> None:
    rows = ((now, session) for session in sessions)
    connection.executemany("UPDATE item SET state = 'asked', asked_at = ? WHERE id = ?", rows)


def _note(session: str, analysis_id: str, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE item SET state = 'created', analysis_id = ? WHERE id = ?", (analysis_id, session))


def _forget(sessions: set[str], connection: sqlite3.Connection) -> None:
    rows = ((session,) for session in sessions)
    connection.executemany("UPDATE item SET asked_at = NULL WHERE id = ? AND analysis_id IS NULL", rows)


def _take_back(sessions: set[str], connection: sqlite3.Connection) -> None:
    rows = ((session,) for session in sessions)
    query = "UPDATE item SET state = 'left', asked_at = NULL WHERE id = ? AND state = 'asked' AND analysis_id IS NULL"
    connection.executemany(query, rows)
