"""`DurableBatch`: a batch whose ids, progress and outcomes are one file, so that it goes on after whatever ended it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import partial
from types import TracebackType
from typing import Self

import anyio

import kallglot_async
from kallglot_async import _clock
from kallglot_async._checks import check_count, check_plain_callback, check_session_id, check_timeout
from kallglot_async._core.api.analyses import check_analysis_id
from kallglot_async._durable.asking import Asking
from kallglot_async._durable.file import BatchFile, EndState, RetryState, retry
from kallglot_async._durable.identity import BatchIdentity, Wish, settle
from kallglot_async._durable.lock import WriterLock
from kallglot_async._durable.report import ENDED, BatchReport, check_state
from kallglot_async._durable.rows import outcomes_in, rows_of
from kallglot_async._durable.runner import OnReport, Run, RunOptions
from kallglot_async._durable.schema import open_to_write
from kallglot_async._durable.source import add_ids
from kallglot_async._durable.writer import Writer
from kallglot_async.errors import ConfigurationError, IdSourceError
from kallglot_async.models import Outcome

__all__ = ["DurableBatch"]

_READ = 200  # outcomes read from the file at once
_CLOSING = 60.0  # seconds that the last commit may take where the batch is cancelled


class DurableBatch:
    """A batch in a file, which is its journal and its result. Reached as `client.open_batch`.

    Use it as an async context manager. While it is open, nobody else can write to the file, and everybody whom its
    permissions let can read it (`BatchFile`). Whatever ends the process, `kill -9` and loss of power included, what
    was in the file is in it, and the same program started again goes on from there.

    Args:
        client: Makes the calls.
        path: The file.
        wish: What it is to be for.
    """

    def __init__(self, client: kallglot_async.KallglotClient, path: str | os.PathLike[str], wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self.file: BatchFile = BatchFile(path)
        """The file as others see it: for `status`, `outcomes` and `export` from a thread."""
        self._lock: WriterLock | None = None
        self._writer: Writer | None = None
        self._identity: BatchIdentity | None = None
        self._is_running = False
        self._only_listed = False

    def __repr__(self) -> str:
        state = "closed" if self._writer is None else "running" if self._is_running else "open"
        return f"<DurableBatch {self.file.path} {state}>"

    async def __aenter__(self) -> Self:
        _clock.running_loop()
        if self._writer is not None:
            raise ConfigurationError(f"{self.file.path} is open already: leave its block first")
        # Before the file is looked at: two that both found it free would both ask, and pay, for what is left.
        self._lock = WriterLock(self.file.path)
        self._writer = Writer(self.file.path, partial(open_to_write, self.file.path))
        try:
            await self._writer.start()
            self._identity = await self._writer.call(partial(settle, wish=self._wish, path=self.file.path))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        # Before anything is awaited: who calls meanwhile is told that it is not open.
        writer, self._writer = self._writer, None
        lock, self._lock = self._lock, None
        try:
            if writer is not None:
                # Also where the block was cancelled: what it was told is in the file then. But a disk may hang.
                with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSING):
                    await writer.aclose()
        finally:
            if lock is not None:
                lock.release()

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise ConfigurationError(
                f"{self.file.path} is not open: use it inside `async with client.open_batch(...) as batch:`"
            )
        return self._writer

    @property
    def identity(self) -> BatchIdentity:
        """What the file is for: the kind of the batch, and what is asked for.

        Raises:
            ConfigurationError: It is not open.
        """
        if self._identity is None:
            self._open_writer()
            raise ConfigurationError(f"{self.file.path} is being opened")
        return self._identity

    async def add(self, ids: Iterable[str] | AsyncIterable[str], *, only_listed: bool = False) -> int:
        """Add ids to the batch, and return how many of them were new.

        They are taken in and written as they come, so that a source of millions is fine. What is no id is a failure
        of its own from the start (`InvalidIdError`). After a cancellation, what was written is in the file: add the
        same ids again.

        Args:
            ids: Any iterable or asynchronous iterable: ids of analyses, or of sessions where analyses are requested.
                Of a file with an id in each line: `(line.strip() for line in file)`.
            only_listed: Whether later runs, until the batch is closed, leave out what is in the file and not among
                these ids. Nothing is removed.

        Raises:
            ConfigurationError: It is one text, or nothing that can be iterated.
            IdSourceError: The iterable raised; what it gave before is in the file.
            BatchFileError: The file cannot be written to; what it holds is intact.
        """
        writer = self._open_writer()
        check = check_session_id if self.identity.kind == "analyze" else check_analysis_id
        self._only_listed = only_listed or self._only_listed
        return await add_ids(writer, ids, check, only_listed=only_listed)

    async def run(
        self,
        *,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        on_progress: OnReport | None = None,
        pay_again: bool = False,
    ) -> BatchReport:
        """Do what is left, with every outcome in the file as soon as it is known, and return how far that has come.

        Retries, limiter and costs are those of `wait_many`, `analyses.retrieve_many` or `analyze_many`, by the kind
        of the batch. A 401, 402 or 403 ends the run early, and what is left is taken up by the next one. Where nothing
        is left, nothing is sent. Cancelled, or killed, a run has lost nothing: what was in flight, and some outcomes
        that had not reached the disk, are fetched again by the next one. No analysis is requested twice.

        Args:
            timeout: Seconds for each id, as for those calls; None for ever. Default 120.
            total_timeout: Seconds for the whole run; None (the default) for ever.
            max_in_flight: Requests at once; default: the client's.
            on_progress: Called with a report whenever an id has its outcome. A plain function; if it raises, that is
                logged and it is not called again.
            pay_again: Whether sessions are requested anew whose request was interrupted more than 24 hours ago. It may
                have been carried out, and paid for.

        Raises:
            ConfigurationError: An argument cannot be used, or a run of this batch is under way.
            BatchFileError: The file cannot be written to, on a full disk for example; what it holds is intact.
            RecordError: The file is damaged.
        """
        writer = self._open_writer()
        if self._is_running:
            raise ConfigurationError(f"a run of {self.file.path} is under way: wait until that has ended")
        check_plain_callback("on_progress", on_progress)
        options = RunOptions(
            timeout=check_timeout("timeout", timeout),
            total_timeout=check_timeout("total_timeout", total_timeout),
            max_in_flight=None if max_in_flight is None else check_count("max_in_flight", max_in_flight),
            on_progress=on_progress,
            only_listed=self._only_listed,
        )
        run = Run(self._client, writer, options)
        self._is_running = True
        try:
            await run.begin()
            match self.identity.kind:
                case "wait":
                    await run.wait(run.select("left"))
                case "retrieve":
                    await run.retrieve()
                case "analyze":
                    await Asking(run, self.identity).analyze(pay_again=pay_again)
        except IdSourceError as error:
            # The source was ours: what it raised is what reading the file has met, and no mistake of the caller's.
            raise (error.__cause__ or error) from None
        finally:
            self._is_running = False
        return await run.report()

    def status(self) -> BatchReport:
        """Return how far the batch has come, by what is in the file. See `BatchFile.status`."""
        return self.file.status()

    def retry(self, state: RetryState = "failed") -> int:
        """Have the next run take up ids that no run would take up by itself. See `BatchFile.retry`."""
        self._open_writer()
        check_state(state, "failed", "uncertain")
        return retry(self.file.path, state)

    def export(self, to: str | os.PathLike[str], *, state: EndState | None = None) -> int:
        """Write the outcomes to a file, which is there whole or not at all. See `BatchFile.export`."""
        return self.file.export(to, state=state)

    async def outcomes(self, state: EndState | None = None) -> AsyncGenerator[Outcome, None]:
        """Give the outcomes in the order in which their ids were added. See `BatchFile.outcomes`."""
        known = None if state is None else check_state(state, *ENDED, "left")
        after = 0
        while True:
            rows = await self._open_writer().call(partial(rows_of, known, after, _READ))
            if not rows:
                return
            for outcome in outcomes_in(rows, after):
                yield outcome
            # By the place of the last one, and not by a number of rows to skip, which a database would count each time.
            after = rows[-1][0]
