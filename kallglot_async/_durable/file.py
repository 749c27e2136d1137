"""`BatchFile`: what can be done with the file of a batch without a client, also while a run is writing to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from kallglot_async._durable.export import export
from kallglot_async._durable.identity import BatchIdentity, stored
from kallglot_async._durable.lock import WriterLock
from kallglot_async._durable.report import ENDED, BatchReport, State, check_state
from kallglot_async._durable.rows import outcomes_in, select_outcomes
from kallglot_async._durable.schema import open_to_read, open_to_write, translated
from kallglot_async._whole_file import path_of
from kallglot_async.errors import BatchFileError, ConfigurationError
from kallglot_async.models import Outcome

__all__ = ["BatchFile", "EndState", "RetryState", "count", "retry"]

EndState = Literal["done", "failed", "given_up", "uncertain", "left"]
RetryState = Literal["failed", "uncertain"]


class BatchFile:
    """The file of a batch, for those who read it: another process, or the morning after. It needs no client.

    Nothing here waits for a run that is writing to it, but `retry`, which such a run refuses. Nothing but `retry` needs
    a file, or a directory, that can be written to, unless a run that was killed has left a `-wal` beside it. All of it
    blocks: from an event loop that serves others, call it in a thread. The file holds call text, and only its owner may
    read it (mode 0600); what is exported has the permissions of other files that you write.

    Args:
        path: The file, as `client.open_batch` has made it.

    Raises:
        ConfigurationError: It is no path.
        BatchFileError: It is relative, and the current directory has been removed.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = path_of(path)
        with translated(given):  # the current directory may have been removed
            # One of now: the process may go to another one.
            self.path: Path = given.absolute()
            """The file, with its whole path."""

    def __repr__(self) -> str:
        return f"<BatchFile {self.path}>"

    @property
    def identity(self) -> BatchIdentity:
        """What it is for: the kind of the batch, and what is asked for.

        Raises:
            BatchFileError: There is no such file, or it cannot be read.
        """
        with closing(open_to_read(self.path)) as connection, translated(self.path):
            identity = stored(connection)
        if identity is None:
            raise BatchFileError(f"{self.path} holds no batch yet: run it once", path=str(self.path))
        return identity

    def status(self) -> BatchReport:
        """Return how far the batch has come, without the figures of a run.

        Raises:
            BatchFileError: There is no such file, or it cannot be read.
        """
        with closing(open_to_read(self.path)) as connection, translated(self.path):
            return count(connection)

    def reasons(self, state: EndState = "failed") -> dict[str, int]:
        """Return how many ids of a state have which class of error, by its name, the most frequent first.

        Raises:
            ConfigurationError: There is no such state.
            BatchFileError: There is no such file, or it cannot be read.
        """
        # Counted where they lie: to make an error of each takes ten times as long.
        named = "SELECT json_extract(error, '$.type') AS name, count(*) FROM item WHERE state = ? AND name IS NOT NULL"
        with closing(open_to_read(self.path)) as connection, translated(self.path):
            query = f"{named} GROUP BY name ORDER BY count(*) DESC"
            return dict(connection.execute(query, (check_state(state, *ENDED, "left"),)).fetchall())

    def outcomes(self, state: EndState | None = None) -> Iterator[Outcome]:
        """Give the outcomes as they stand when the first is taken, in the order in which their ids were added.

        One by one, so that a file of any size can be gone through.

        Args:
            state: Only those of ids in one state. Those `left` have no outcome yet, and a `NotAttemptedError` in its
                place. Default: all that have an outcome, which are those of the other four.

        Raises:
            ConfigurationError: There is no such state.
            BatchFileError: There is no such file, or it cannot be read.
            RecordError: What it holds of an id is no outcome, or it is damaged.
        """
        query = select_outcomes(None if state is None else check_state(state, *ENDED, "left"))
        return self._outcomes(*query)

    def _outcomes(self, query: str, values: tuple[object, ...]) -> Iterator[Outcome]:
        with closing(open_to_read(self.path)) as connection, translated(self.path):
            yield from outcomes_in(connection.execute(query, values))

    def retry(self, state: RetryState = "failed") -> int:
        """Have the next run take up ids that no run would take up by itself, and return how many they are.

        Where analyses are requested, those that failed, or that the API has no more, are requested, and paid for, anew.

        Args:
            state: `failed`, or `uncertain` to pay again for what may have been paid for.

        Raises:
            ConfigurationError: There is no such state.
            BatchInUseError: A run is writing to the file.
            BatchFileError: There is no such file, or it cannot be written to.
        """
        check_state(state, "failed", "uncertain")
        # For its checks: beside a file that is not there, or is not one of ours, no lock is to be made.
        open_to_read(self.path).close()
        lock = WriterLock(self.path)
        try:
            return retry(self.path, state)
        finally:
            lock.release()

    def export(self, to: str | os.PathLike[str], *, state: EndState | None = None) -> int:
        """Write the outcomes to a file, which is there whole or not at all, and return how many they are.

        Args:
            to: Where to; the end of its name says how. `.jsonl`: a line of JSON for each, which `read_jsonl` reads.
                `.csv`, `.parquet` or `.arrow`: a table of analyses, failures included, the last two with the extra
                `arrow`. `.html`: a report for people.
            state: As for `outcomes`.

        Raises:
            ConfigurationError: The name does not say how, or is that of the batch, or there is no such state.
            BatchFileError: Either file cannot be used. What stood under that name before is intact.
        """
        target = path_of(to)
        with translated(target):
            if self.path.exists() and target.exists() and target.samefile(self.path):
                raise ConfigurationError(f"{target} is the file of the batch, which would be lost: name another file")
        return export(self.outcomes(state), target)


def count(connection: sqlite3.Connection, *, only_listed: bool = False) -> BatchReport:
    """Return how many ids are in which state; of those that are listed only, where that is asked for."""
    only = "WHERE seq IN (SELECT seq FROM temp.listed)" if only_listed else ""
    query = f"SELECT state, count(*) FROM item {only} GROUP BY state"  # noqa: S608
    by_state: dict[State, int] = dict(connection.execute(query).fetchall())
    return BatchReport(
        total=sum(by_state.values()),
        done=by_state.get("done", 0),
        failed=by_state.get("failed", 0),
        given_up=by_state.get("given_up", 0),
        left=sum(by_state.get(state, 0) for state in ("left", "asked", "created")),
        uncertain=by_state.get("uncertain", 0),
    )


# An error's class comes first in what is stored of it. An id that is none never becomes one.
_MENDABLE = """coalesce(error, '') NOT LIKE '{"type":"InvalidIdError"%'"""
# What has failed, or was lost, under its id: to have one, it has to be requested anew.
_GONE = " OR ".join(f"""error LIKE '{{"type":"{name}"%'""" for name in ("AnalysisFailedError", "NotFoundError"))
_FORGET = "settled_at = NULL, error = NULL, polls = 0, elapsed = 0.0"


def retry(path: Path, state: RetryState) -> int:
    """Do what `BatchFile.retry` says, for whoever has the right to write.

    Raises:
        BatchFileError: The file cannot be written to.
    """
    with closing(open_to_write(path)) as connection, translated(path):
        connection.execute("BEGIN IMMEDIATE")
        number = start_anew(connection, state)
        connection.execute("COMMIT")
        return number


def start_anew(connection: sqlite3.Connection, state: RetryState) -> int:
    """Let ids in that state be as if nothing had become of them, and return how many they are."""
    # First what can be waited for: whatever is in that state behind this is requested anew.
    waited = connection.execute(
        f"UPDATE item SET state = 'created', {_FORGET} "  # noqa: S608
        f"WHERE state = ? AND analysis_id IS NOT NULL AND NOT ({_GONE})",
        (state,),
    ).rowcount
    # Another number of tries is another idempotency key: under the old one the old answer would come back.
    again = connection.execute(
        f"UPDATE item SET state = 'left', tries = tries + 1, analysis_id = NULL, asked_at = NULL, {_FORGET} "  # noqa: S608
        f"WHERE state = ? AND {_MENDABLE}",
        (state,),
    ).rowcount
    return waited + again
