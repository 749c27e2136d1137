"""`RetrieveCall`: fetches many analyses as they stand, concurrently, without waiting for any to settle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import anyio

from kallglot_async import _clock, errors
from kallglot_async._checks import shown
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._waiting.source import BATCH_ENDING, MOST_REFUSALS, IdSource, Puller, not_attempted
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Outcome, Outcomes

__all__ = ["RetrieveCall"]


class RetrieveCall:
    """One `retrieve_many`: workers that pull ids from one source and fetch them."""

    def __init__(
        self,
        pipeline: Pipeline,
        source: IdSource,
        timeout: float | None,
        on_outcome: Callable[[Outcome], object] | None,
    ) -> None:
        self._pipeline = pipeline
        self._lane = pipeline.lane("analysis")
        self._source = source
        self._timeout = timeout
        self._on_outcome = on_outcome
        self._outcomes: dict[str, Outcome] = {}
        self._callback_error: BaseException | None = None
        self._stop: Callable[[], None] = lambda: None
        self._fatal: errors.KallglotError | None = None
        self._puller = Puller(source)
        self._turn = anyio.Lock(fast_acquire=True)

    async def run(self, workers: int) -> Outcomes:
        workers = min(workers, self._source.total or workers)
        async with aclosing(self._puller), anyio.create_task_group() as group:
            self._stop = group.cancel_scope.cancel
            for _ in range(workers):
                group.start_soon(self._work)
        if self._callback_error is not None:
            raise self._callback_error
        outcomes = self._source.in_order(self._outcomes)
        if self._puller.error is not None:
            raise errors.IdSourceError(
                f"the iterable of ids raised {shown(self._puller.error)}", outcomes=outcomes
            ) from self._puller.error
        return outcomes

    async def _work(self) -> None:
        while (turn := await self._next_turn()) is not None:
            self._keep(await self._fetch(*turn))

    async def _next_turn(self) -> tuple[str, Ticket | None] | None:
        """Return the next possible id and the slot for it; None once there are no more.

        One worker at a time, so that a batch stands in line once, as a wait does, however many workers it has.
        """
        async with self._turn:
            id = await self._next_id()
            if id is None or self._fatal is not None:
                return None if id is None else (id, None)
            return id, await self._lane.acquire(Urgency.AHEAD)

    async def _next_id(self) -> str | None:
        """Return the next possible id; None once there are no more."""
        while isinstance(item := await self._puller.next(), errors.InvalidIdError):
            self._keep(Outcome(id=item.id, error=item))
        return item

    def _keep(self, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        if self._on_outcome is not None and self._callback_error is None:
            try:
                self._on_outcome(outcome)
            except (Exception, asyncio.CancelledError) as error:
                self._callback_error = error  # the caller's own, so it is raised as it is, not inside a group
                self._stop()

    async def _fetch(self, id: str, ticket: Ticket | None) -> Outcome:
        if self._fatal is not None:
            if ticket is not None:
                self._lane.unsent(ticket)
            return Outcome(id=id, error=not_attempted(id, self._fatal))
        operation = retrieve_analysis(id)
        started = _clock.now()
        refusals = 0
        while True:
            ticket = ticket or await self._lane.acquire(Urgency.AHEAD)
            try:
                analysis = await self._pipeline.run(operation, timeout=self._timeout, ticket=ticket)
                return Outcome(id=id, analysis=analysis, polls=1, elapsed=_clock.now() - started)
            except errors.RateLimitedError as refused:
                ticket = None  # refused, or the next window lies beyond this id's timeout: a batch outlasts it
                refusals += 1
                if refusals > MOST_REFUSALS:
                    return Outcome(id=id, error=refused, elapsed=_clock.now() - started)
            except errors.KallglotError as failure:
                if isinstance(failure, BATCH_ENDING):
                    self._fatal = failure
                    self._puller.stop()
                polls = failure.attempts if isinstance(failure, errors.RequestError) else 0
                return Outcome(id=id, error=failure, polls=polls, elapsed=_clock.now() - started)
