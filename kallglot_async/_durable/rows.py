"""An outcome as it stands in the file, and back: reading it gives what was stored.

An analysis is kept as the API sent it, as bytes, with what this version knows nothing of; one whose client kept no
bodies as our own JSON, as text.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from kallglot_async import errors
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError
from kallglot_async._core.api.operation import WrongResourceError
from kallglot_async._durable.report import ENDED, State, state_of
from kallglot_async.errors import KallglotError
from kallglot_async.models import Analysis, Outcome
from kallglot_async.models.meta import kept_of
from kallglot_async.models.records import encode, outcome_of

__all__ = ["KEEP", "error_text", "in_order", "outcomes_in", "row_of", "rows_of", "select_outcomes"]

Row: TypeAlias = tuple[Any, ...]

KEEP = """UPDATE item SET state = ?, settled_at = ?, polls = polls + ?, elapsed = ?, error = ?, analysis = ?
    WHERE id = ?"""
"""Stores what `row_of` gives."""

_COLUMNS = "seq, id, coalesce(analysis_id, id), polls, elapsed, error, analysis"


def row_of(outcome: Outcome) -> Row:
    """Return the values that `KEEP` stores."""
    return (
        state_of(outcome),
        time.time(),
        outcome.polls,
        outcome.elapsed,
        None if outcome.error is None else error_text(outcome.error),
        None if outcome.analysis is None else outcome.analysis.raw or encode(outcome.analysis).decode(),
        outcome.id,
    )


def error_text(error: KallglotError) -> str:
    """Return an error as JSON."""
    return encode(error).decode()


def select_outcomes(state: State | None, after: int = 0, most: int = -1) -> tuple[str, Row]:
    """Return the query for outcomes in the order in which their ids were added, and its values.

    Args:
        state: Those of one state; None: of every id that has an outcome.
        after: Only those behind this row.
        most: So many at most; -1: all.
    """
    states = ENDED if state is None else (state,) if state != "left" else ("left", "asked", "created")
    # With a plus no index is used: all outcomes together are read along the table, and not sorted.
    column = "state" if len(states) == 1 else "+state"
    places = ", ".join("?" * len(states))
    query = f"SELECT {_COLUMNS} FROM item WHERE {column} IN ({places}) AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
    return query, (*states, after, most)


def rows_of(state: State | None, after: int, most: int, connection: sqlite3.Connection) -> list[Row]:
    """Return rows of `select_outcomes`."""
    return connection.execute(*select_outcomes(state, after, most)).fetchall()


def outcomes_in(rows: Iterable[Row], after: int = 0) -> Iterator[Outcome]:
    """Return the outcomes in rows of `select_outcomes`, which are those behind the row numbered `after`.

    Raises:
        RecordError: Somebody has written something else into the file, or it is damaged.
    """
    last = after
    for seq, id, analysis_id, polls, elapsed, error, analysis in rows:
        last = in_order(seq, last)
        if error is None and analysis is None:
            reason = errors.NotAttemptedError(f"{id} has no outcome yet: it is taken up by the next run", id=id)
            yield Outcome(id=id, error=reason)
        elif isinstance(analysis, bytes):
            yield Outcome(id=id, analysis=_as_sent(analysis, analysis_id), polls=polls, elapsed=elapsed)
        else:
            name, part = ("analysis", analysis) if error is None else ("error", error)
            # Put together as text: what is in the row is JSON already, and is decoded once.
            head = f'"id":{msgspec.json.encode(id).decode()},"polls":{polls},"elapsed":{elapsed}'
            yield outcome_of(f'{{{head},"{name}":{part}}}', Outcome)


def in_order(seq: int, before: int) -> int:
    """Return the number of a row that comes behind another one. In a damaged file rows may come again, without an end.

    Raises:
        RecordError: It does not.
    """
    if seq <= before:
        raise errors.RecordError("the rows of the file are in no order: it is damaged: restore a copy of it")
    return seq


def _as_sent(body: bytes, id: str) -> Analysis:
    """Return the analysis in a body, as the client that fetched it did."""
    try:
        analysis = retrieve_analysis(id).decode(body)
    except (MalformedBodyError, WrongShapeError, WrongResourceError, errors.InvalidIdError):
        raise errors.RecordError(f"what the file holds of {id} is no answer of the API") from None
    kept_of(analysis)["raw"] = body
    return analysis
