"""`Batch`: what calls for many ids do alike that do not only wait.

Ids in one by one, refusals waited out, outcomes out.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import anyio

from kallglot_async import _clock, errors
from kallglot_async._checks import shown
from kallglot_async._clock import Alarm
from kallglot_async._core.api.meaning import Suspicion, is_unreached
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._core.polling.pending import LATE
from kallglot_async._events import await_told
from kallglot_async._waiting.call import is_settled
from kallglot_async._waiting.endings import not_attempted
from kallglot_async._waiting.waits import IdSource, OnOutcome
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Outcome, Outcomes

__all__ = ["Batch"]

T = TypeVar("T")

_MOST_REFUSALS = 10  # in a row, for one id; each is waited out, and a server may refuse for ever
_LAST_WORDS = 30.0  # seconds for callbacks that are under way, or in line, as the time of a call runs out
_LAST_ANSWERS = 5.0  # seconds for the answers that such callbacks are to be told of


class Batch:
    """One call for many ids: workers that pull from one source, and one outcome for each id.

    Args:
        pipeline: How requests are sent.
        source: The ids.
        on_outcome: Called with each outcome the moment it is known, and awaited where it is a coroutine function;
            what it raises ends the call.
        noun: What the ids are of, for messages.
    """

    __slots__ = (
        "_being_told", "_callback_error", "_first_contact", "_group", "_is_drained", "_is_over", "_noun", "_on_outcome",
        "_out", "_pipeline", "_quiet", "_source", "_suspicion", "_taken", "_telling", "_unreached", "failed",
        "found", "lane", "reason", "settled",
    )  # fmt: skip

    def __init__(
        self, pipeline: Pipeline, source: IdSource, on_outcome: OnOutcome | None, *, noun: str = "ids"
    ) -> None:
        self.lane = pipeline.lane("analysis")
        self._pipeline = pipeline
        self._suspicion: Suspicion | None = None  # from the first failure on
        self.found: dict[str, Outcome] = {}
        self.reason: errors.KallglotError | None = None  # why nothing more is sent
        self._source = source
        self._on_outcome = on_outcome
        self._noun = noun
        self._group = anyio.create_task_group()
        # Else an anyio lock gives the loop a turn each time, even where nobody else has it.
        self._telling = anyio.Lock(fast_acquire=True)
        self._first_contact = anyio.Lock(fast_acquire=True)
        self._unreached: errors.RequestError | None = None  # how the request ended that was to reach the API first
        self._callback_error: BaseException | None = None
        self._being_told = self._out = 0  # callbacks under way or in line, requests that are sent
        self._quiet = Alarm()  # the sleeper waits for these to end
        self._taken = 0
        self._is_drained = False  # the source has given all it will give
        self._is_over = False  # nothing new is begun
        self.settled = self.failed = 0  # outcomes, as `Progress` counts them

    @property
    def total(self) -> int | None:
        """How many ids there are, where that is known: of a collection, and once a source has ended."""
        return self._taken if self._is_drained else self._source.total

    @property
    def pending(self) -> int:
        """How many ids were taken and have no outcome yet."""
        return self._taken - len(self.found)

    @property
    def ids(self) -> list[str]:
        """The ids that were pulled so far, in order."""
        return self._source.ids

    async def run(
        self,
        workers: int,
        work: Callable[[], Coroutine[Any, Any, None]],
        meanwhile: Callable[[], Awaitable[None]] | None = None,
        *,
        hears_answers: bool = False,
    ) -> None:
        """Run so many workers to their end; or until what is done `meanwhile` is done, which ends them.

        What is being told then, or is in line for it, is told to its end, within `_LAST_WORDS`. With `hears_answers`
        so is what the requests that are out are answered with, where that comes within `_LAST_ANSWERS`.
        """
        _clock.running_loop()
        # Before anything is pulled: while another loop is served, the call is refused.
        self.lane.enter()
        is_done = False
        # In this order: the source is let go of once nobody pulls from it any more.
        async with aclosing(self._source), self._group as group:
            for _ in range(min(workers, self._source.total or workers)):
                group.start_soon(work)
            if meanwhile is not None:
                await meanwhile()
                await self._wind_down(_LAST_ANSWERS if hears_answers else 0.0)
                is_done = True
                group.cancel_scope.cancel()
        if group.cancel_scope.cancel_called and not is_done:
            # A callback cancelled the task that it ran in: what that worker had in hand would be missing, untold.
            self._callback_error = self._callback_error or asyncio.CancelledError()

    async def _wind_down(self, patience: float) -> None:
        """Begin nothing new, and let end what is told, and what is sent."""
        self._is_over = True
        began = ends_at = _clock.now()
        stood_still = False
        while left := _LAST_WORDS if self._being_told else patience if self._out else 0.0:
            # Past the end that was slept until, nothing here ran: what came to nothing meanwhile has its time anew, but
            # once, or a loop that is always late would never come to an end.
            if (now := _clock.now()) > ends_at + LATE and not stood_still:
                began, stood_still = now, True
            if now >= (ends_at := began + left):
                return
            await self._quiet.sleep_until(ends_at)

    async def next_id(self) -> str | None:
        """Return the next id to send a request for; None once there are no more. One worker at a time."""
        while not self._is_over and (item := self._source.at_once() or await self._source.next()) is not None:
            self._taken += 1
            if isinstance(item, errors.InvalidIdError):
                await self.keep(Outcome(id=item.id, error=item))
            elif (ended := self._ended(item)) is not None:
                await self.keep(Outcome(id=item, error=ended))
            else:
                return item
        self._is_drained = True
        return None

    def send(
        self, id: str, urgency: Urgency, send: Callable[[Ticket], Awaitable[T]], ticket: Ticket | None = None
    ) -> Coroutine[Any, Any, T]:
        """Send a request for an id on a slot, the one given or the next; a batch outlasts the windows it needs.

        While the API was never heard, one request asks for all: with nobody there, the others were in vain.

        Raises:
            NotAttemptedError: Nothing more is sent.
            KallglotError: How the request ended.
        """
        return (self._send if self._is_heard() else self._send_first)(id, urgency, send, ticket)

    async def _send_first(
        self, id: str, urgency: Urgency, send: Callable[[Ticket], Awaitable[T]], ticket: Ticket | None
    ) -> T:
        if ticket is not None:
            # Held in line, it would be the slot that the first request waits for.
            self.lane.unsent(ticket)
        async with self._first_contact:
            if not self._is_heard():
                try:
                    return await self._send(id, urgency, send, None)
                except errors.RequestError as failure:
                    if not self._is_heard() and is_unreached(failure):
                        self._unreached = failure
                        self._source.stop()
                    raise
        return await self._send(id, urgency, send, None)

    def _is_heard(self) -> bool:
        """Whether this client ever had an answer of the API."""
        return self._pipeline.budget.is_reached

    async def _send(
        self, id: str, urgency: Urgency, send: Callable[[Ticket], Awaitable[T]], ticket: Ticket | None
    ) -> T:
        refusals = 0
        while True:
            ticket = ticket or await self.lane.acquire(urgency)
            if (self.reason or self._unreached) and (ended := self._ended(id)) is not None:
                self.lane.unsent(ticket)
                raise ended
            if self._is_over:
                self.lane.unsent(ticket)
                # The group is cancelled in a moment; what became of this id is told once the call is over.
                await anyio.sleep_forever()
            self._out += 1
            try:
                answered = await send(ticket)
                if self._suspicion is not None:
                    self._suspicion.on_accepted()
                return answered
            except errors.RateLimitedError:
                # Refused, or the next window lies beyond the request's timeout: in line again, for as long as the batch
                # goes on.
                ticket = None
                refusals += 1
                if refusals > _MOST_REFUSALS:
                    raise
            except errors.RequestError as failure:
                self._suspicion = self._suspicion or Suspicion()
                if self._suspicion.on_failure(failure, was_accepted=self._pipeline.is_accepted):
                    self.end(failure)
                raise
            finally:
                self._out -= 1
                self._quiet.ring()

    def _ended(self, id: str) -> errors.KallglotError | None:
        """Return the error of an id for which nothing is sent any more; None as long as something may be."""
        if self._unreached is not None:
            error = copy.copy(self._unreached)
            # That one is of the one request that was sent.
            error.idempotency_key = None
            return error
        return None if self.reason is None else not_attempted(id, self.reason)

    def end(self, reason: errors.KallglotError) -> None:
        """Send nothing more; what is under way goes on."""
        if self.reason is None:
            self.reason = reason
            self._source.stop()

    async def keep(self, outcome: Outcome) -> None:
        """Note what became of an id, and tell."""
        self.note(outcome)
        await self.tell_outcome(outcome)

    async def tell_outcome(self, outcome: Outcome) -> None:
        """Tell what became of an id that is noted."""
        if self._on_outcome is not None:
            await self.tell("on_outcome", self._on_outcome, outcome)

    def note(self, outcome: Outcome) -> None:
        """Note what became of an id; for who knows that nobody is to be told, or not yet."""
        self.found[outcome.id] = outcome
        has_settled = is_settled(outcome)
        self.settled += has_settled
        self.failed += not has_settled

    async def tell(self, name: str, callback: Callable[..., object], *facts: object) -> None:
        """Call back, one call after another, and await what is returned where it can be awaited.

        What the callback raises ends the batch, and is raised from `outcomes`.
        """
        self._being_told += 1
        try:
            async with self._telling:
                # Those in line behind one that has raised are told nothing more.
                if self._callback_error is None:
                    await await_told(name, callback(*facts))
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _clock.is_cancelled():
                # The batch itself is cancelled.
                raise
            # The caller's own, so it is raised as it is, not inside a group.
            self._callback_error = error
            self._group.cancel_scope.cancel()
        finally:
            self._being_told -= 1
            self._quiet.ring()

    def outcomes(self) -> Outcomes:
        """Return what became of every id, in the order of the input.

        Raises:
            IdSourceError: The iterable raised; the outcomes are on the error.
            BaseException: What a callback has raised.
        """
        if self._callback_error is not None:
            raise self._callback_error
        outcomes = self._source.in_order(self.found)
        if (failure := self._source.error) is not None:
            text = f"the iterable of {self._noun} raised {shown(failure)}"
            raise errors.IdSourceError(text, outcomes=outcomes) from failure
        return outcomes
