"""`Run`: one run of a batch, through the client's own calls, with every outcome in the file as soon as it is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio
import msgspec

from kallglot_async import _clock, errors
from kallglot_async._core.api.meaning import Whom, meaning_of
from kallglot_async._durable.file import count
from kallglot_async._durable.report import BatchReport, State, state_of
from kallglot_async._durable.rows import KEEP, row_of
from kallglot_async._durable.source import Selection, date_back, items
from kallglot_async._durable.writer import Writer
from kallglot_async._events import PlainCallback
from kallglot_async.models import Outcome

if TYPE_CHECKING:
    from kallglot_async._client import KallglotClient  # above us: a run makes the calls that anybody can make

__all__ = ["OnReport", "Run", "RunOptions"]

OnReport = Callable[[BatchReport], object]

_FETCHED_AT_ONCE = 1_000  # ids of one call, which remembers its outcomes: what bounds the memory of a run
_INSTANT = 1e-3  # seconds: less is no timeout that a call could be given
_MOST_READY = 32  # outcomes that lie between a wait and the file: what a kill costs, each a request


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How one run goes: plain values, checked by the batch."""

    timeout: float | None
    total_timeout: float | None
    max_in_flight: int | None
    on_progress: OnReport | None
    only_listed: bool


@dataclass(eq=False)
class Run:
    """One run: what it has found so far, and how outcomes get into the file.

    Args:
        client: Makes the calls.
        writer: Writes to the file.
        options: How the run goes.
    """

    client: KallglotClient
    writer: Writer
    options: RunOptions
    reason: errors.KallglotError | None = field(default=None, init=False)  # why nothing more is sent

    def __post_init__(self) -> None:
        self._began_at = _clock.now()
        # By the wall clock, as outcomes in the file are dated.
        self._opened_at = time.time()
        self._refused = self.client.rate_limit.refused
        self._on_progress = PlainCallback("on_progress", self.options.on_progress, "kallglot_async.durable")
        self._suspect: errors.KallglotError | None = None  # that the key was refused for the last id that was heard of
        self._so_far: BatchReport | None = None  # counted once somebody wants to hear of it

    async def begin(self) -> None:
        """Tell what earlier runs have given up from what this one will."""
        await self.writer.call(partial(date_back, self._opened_at))

    def select(self, *states: State, is_created: bool | None = None) -> list[Selection]:
        """Return which rows to take up: those of the states, then what earlier runs have given up."""
        only_listed = self.options.only_listed
        fresh = [Selection(state, is_created, None, only_listed) for state in states]
        return [*fresh, Selection("given_up", is_created, self._opened_at, only_listed)]

    def time_left(self) -> float | None:
        """Return the seconds that are left of the total timeout; None: as many as are needed."""
        whole = self.options.total_timeout
        return None if whole is None else max(_INSTANT, self._began_at + whole - _clock.now())

    def is_over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.reason is not None or self.time_left() == _INSTANT

    # -- kinds

    async def retrieve(self) -> None:
        """Fetch every id that is left, once."""
        # The call has no timeout for all of its ids; what is cut off here is left.
        with anyio.move_on_after(self.time_left()):
            async with aclosing(items(self.writer, self.select("left"), _FETCHED_AT_ONCE)) as chunks:
                async for chunk in chunks:
                    await self.client.analyses.retrieve_many(
                        [item.id for item in chunk],
                        timeout=self.options.timeout,
                        max_in_flight=self.options.max_in_flight,
                        on_outcome=self.keep,
                    )
                    if self.is_over():
                        return

    async def wait(self, selections: Sequence[Selection]) -> None:
        """Wait for everything that is selected: under its own id, or under that of the analysis created for it."""
        if self.is_over():
            return
        keys: dict[str, str] = {}  # what is waited for, and the id in the file

        async def source() -> AsyncGenerator[str, None]:
            async with aclosing(items(self.writer, selections)) as chunks:
                async for chunk in chunks:
                    for item in chunk:
                        awaited = item.analysis_id or item.id
                        keys[awaited] = item.id
                        yield awaited

        call = self.client.as_completed(
            source(),
            timeout=self.options.timeout,
            total_timeout=self.time_left(),
            max_in_flight=self.options.max_in_flight,
            max_ready=_MOST_READY,
        )
        async with call as finished:
            try:
                async for outcome in finished:
                    await self.keep(msgspec.structs.replace(outcome, id=keys.pop(outcome.id, outcome.id)))
            except asyncio.CancelledError:
                # Settled in the very tick of the cancellation; nothing here may wait.
                for outcome in finished.take_ready():
                    self.note(msgspec.structs.replace(outcome, id=keys.pop(outcome.id, outcome.id)))
                raise

    # -- outcomes

    async def keep(self, outcome: Outcome) -> None:
        """Have an outcome written, and wait where too many are not on the disk yet."""
        if self._on_progress.is_on and self._so_far is None:
            counted = await self.writer.call(partial(count, only_listed=self.options.only_listed))
            # What was given up before counts as left until this run gives it up, too.
            self._so_far = msgspec.structs.replace(counted, left=counted.left + counted.given_up, given_up=0)
        self.note(outcome)
        await self.writer.room()

    def note(self, outcome: Outcome) -> None:
        """Have an outcome written."""
        state = state_of(outcome)
        self._heed(outcome.error)
        if state == "left":
            # The row says so already.
            return
        row = row_of(outcome)
        self.writer.put(lambda connection: connection.execute(KEEP, row))
        self._tell(state)

    def _heed(self, error: errors.KallglotError | None) -> None:
        """Note what ends the run, or would, if more than one id had to do with it."""
        if isinstance(error, errors.NotAttemptedError):
            self.reason = self.reason or error.reason
            return
        whom = None if error is None else meaning_of(error).whom
        if whom is Whom.ACCOUNT:
            self.reason = self.reason or error
        else:
            self._suspect = error if whom is Whom.KEY else None

    def _tell(self, state: State) -> None:
        """Tell how far the run has come."""
        if self._so_far is not None:
            one = {state: getattr(self._so_far, state) + 1, "left": self._so_far.left - 1}
            so_far = self._so_far = msgspec.structs.replace(self._so_far, **one, **self._figures())
            self._on_progress.tell(lambda: so_far)

    def _figures(self) -> dict[str, float]:
        return {"refused": self.client.rate_limit.refused - self._refused, "elapsed": _clock.now() - self._began_at}

    async def report(self) -> BatchReport:
        """Return how far the batch has come, by what is in the file."""
        counted = await self.writer.call(partial(count, only_listed=self.options.only_listed))
        return msgspec.structs.replace(counted, **self._figures(), reason=self.reason or self._suspect)
