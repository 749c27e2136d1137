"""Which ids a run takes up, in which order, and how they get into the file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple

from kallglot_async._checks import shown
from kallglot_async._clock import is_cancelled
from kallglot_async._durable.report import State
from kallglot_async._durable.rows import error_text, in_order
from kallglot_async._durable.writer import Writer
from kallglot_async.errors import ConfigurationError, IdSourceError, InvalidIdError

__all__ = ["Listed", "Selection", "add_ids", "date_back", "items"]

_CHUNK = 1_000  # ids read from the file at once
_MOST_AT_ONCE = 50_000  # ids of a large source written at once: the index is gone through once for all of them
_LEAST_AT_ONCE = 500  # of one whose next id may be long in coming: what a kill may make it give again


class Listed(NamedTuple):
    """An id that a run takes up."""

    seq: int
    id: str
    tries: int
    analysis_id: str | None
    asked_at: float | None


class Selection(NamedTuple):
    """Rows that a run takes up together.

    Attributes:
        state: Those of this state.
        is_created: Those whose analysis was created, or not; None: either.
        before: Those that were settled before this moment, in Unix seconds; None: all.
        only_listed: Only those that were listed since the file was opened.
    """

    state: State
    is_created: bool | None = None
    before: float | None = None
    only_listed: bool = False

    def read(self, after: int, most: int, connection: sqlite3.Connection) -> list[Listed]:
        """Return the next rows behind the one numbered `after`."""
        query = "SELECT seq, id, tries, analysis_id, asked_at FROM item WHERE state = ? AND seq > ?"
        values: list[Any] = [self.state, after]
        if self.is_created is not None:
            query += f" AND analysis_id IS {'NOT ' if self.is_created else ''}NULL"
        if self.before is not None:
            query += " AND settled_at < ?"
            values.append(self.before)
        if self.only_listed:
            query += " AND seq IN (SELECT seq FROM temp.listed)"
        return [Listed(*row) for row in connection.execute(f"{query} ORDER BY seq LIMIT ?", (*values, most))]


async def items(
    writer: Writer, selections: Iterable[Selection], most: int = _CHUNK
) -> AsyncGenerator[list[Listed], None]:
    """Give the rows of one selection after the other, so many at once at most, each once."""
    for selection in selections:
        after = 0
        while found := await writer.call(partial(selection.read, after, most)):
            # By its place: rows leave the selection meanwhile, and a number to skip would pass over others.
            after = in_order(found[-1].seq, after)
            yield found


def date_back(moment: float, connection: sqlite3.Connection) -> None:
    """Have all that was given up be of before that moment: since then the clock may have been set back."""
    query = "UPDATE item SET settled_at = ? WHERE state = 'given_up' AND settled_at >= ?"
    connection.execute(query, (moment - 1.0, moment))


# -- ids in


async def add_ids(
    writer: Writer,
    ids: Iterable[str] | AsyncIterable[str],
    check: Callable[[object], str],
    *,
    only_listed: bool,
) -> int:
    """Add the ids that the file does not have yet, and return how many those are.

    Raises:
        ConfigurationError: It is one text, or nothing that can be iterated.
        IdSourceError: The iterable raised; what it gave before is in the file.
        BatchFileError: The file cannot be written to.
    """
    if isinstance(ids, str | bytes):
        raise ConfigurationError(f"ids is one text, {shown(ids)}: pass a list of ids")
    if not isinstance(ids, Iterable | AsyncIterable):
        raise ConfigurationError(f"ids is not iterable but {type(ids).__name__}: pass a list of ids")
    if only_listed:
        await writer.call(_list_none)
    added = 0
    async with aclosing(_portions(ids, check)) as portions:
        async for portion in portions:
            if portion.ids:
                added += await writer.call(partial(_insert, portion, only_listed=only_listed))
            if portion.failure is not None:
                raise IdSourceError(f"the iterable of ids raised {shown(portion.failure)}") from portion.failure
    return added


class _Portion:
    """What of a source is written at once: ids, the errors of those that are none, and what the source raised then."""

    __slots__ = ("errors", "failure", "ids")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.errors: dict[str, str] = {}
        self.failure: BaseException | None = None

    def take(self, id: Any, check: Callable[[object], str]) -> None:
        try:
            id = check(id)
        except InvalidIdError as error:
            # Half a character is in no UTF-8, and so in no file.
            id = error.id.encode(errors="replace").decode()
            self.errors[id] = error_text(error)
        self.ids.append(id)


async def _portions(
    ids: Iterable[Any] | AsyncIterable[Any], check: Callable[[object], str]
) -> AsyncGenerator[_Portion, None]:
    portion = _Portion()
    try:
        if isinstance(ids, AsyncIterable):
            async for id in ids:
                portion.take(id, check)
                if len(portion.ids) >= _LEAST_AT_ONCE:
                    yield portion
                    portion = _Portion()
        else:
            for id in ids:
                portion.take(id, check)
                if len(portion.ids) >= _MOST_AT_ONCE:
                    yield portion
                    portion = _Portion()
    # The caller's own code, whose fault is told once the ids before it are in the file.
    except Exception as error:
        portion.failure = error
    except asyncio.CancelledError as error:
        # Nobody cancelled us: it awaited something that was cancelled, which is an error of its own.
        if is_cancelled():
            raise
        portion.failure = error
    yield portion


def _insert(portion: _Portion, connection: sqlite3.Connection, *, only_listed: bool) -> int:
    ids, errors = portion.ids, portion.errors
    first = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM item").fetchone()[0]
    before = connection.total_changes
    # By id, so that each page of the index is changed once for all of them; they keep the numbers of their order.
    order = sorted(range(len(ids)), key=ids.__getitem__)
    rows = ((ids[place], first + place) for place in order)
    connection.executemany("INSERT OR IGNORE INTO item (id, seq) VALUES (?, ?)", rows)
    added = connection.total_changes - before
    # By their numbers, which are those of this list: the errors of an earlier one have been told.
    query = "UPDATE item SET state = 'failed', error = ? WHERE id = ? AND seq >= ?"
    connection.executemany(query, ((error, id, first) for id, error in errors.items()))
    if only_listed:
        query = "INSERT OR IGNORE INTO temp.listed SELECT seq FROM item WHERE id = ?"
        connection.executemany(query, ((id,) for id in ids))
    return added


def _list_none(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS listed (seq INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM temp.listed")
