"""`AnalyzeCall`: requests the analyses of many sessions and waits for all of them, under one limiter.

Requests go before polls, but only so many analyses are under way at once as the rate allows to look after
(`_OPEN_FOR`): a batch that asked for everything first would have spent the windows in which it could hear of the
answers. A 402 stops the requests, and what is paid for is waited for.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from kallglot_async import _clock, errors
from kallglot_async._alarm import Alarm
from kallglot_async._checks import shown
from kallglot_async._core.api.analyses import create_analysis
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._waiting.call import Waits
from kallglot_async._waiting.claims import WaitOptions
from kallglot_async._waiting.poller import timed_out
from kallglot_async._waiting.source import BATCH_ENDING, MOST_REFUSALS, IdSource, Puller, not_attempted
from kallglot_async._wire.limiter import Lane
from kallglot_async.models import Analysis, Outcome, Outcomes

__all__ = ["AnalyzeCall", "Create", "Order", "orders"]

Order = Callable[[str], Operation[Analysis]]  # session id to request, its idempotency key included
Create = Callable[[Operation[Analysis], Ticket], Awaitable[Analysis]]

_OPEN_FOR = 45.0  # seconds of the rate that may be under way at once: `python -m benchmarks.constants _OPEN_FOR`
_LEAST_OPEN, _MOST_OPEN = 10, 5_000
_CREATORS = 16  # requests for analyses in flight at once, at most


def orders(request: dict[str, Any], batch: str | None) -> Order:
    """Return what makes the request for one session.

    Args:
        request: What is asked for, as in `analyses.create`.
        batch: The name that idempotency keys are made from; None: new ones.

    Raises:
        ConfigurationError: It cannot be asked for like that.
    """

    def order(session: str) -> Operation[Analysis]:
        key = str(uuid.uuid4()) if batch is None else f"{batch}:{session}"
        return create_analysis(session, idempotency_key=key, **request)

    order("sess_any")  # a batch is checked before its first request
    return order


class AnalyzeCall:
    """One `analyze_many`: one outcome for each session, by the session's id.

    Args:
        lane: The limiter's lane of analyses.
        waits: How analyses are waited for.
        sessions: The ids of the sessions.
        order: Makes the request for one session.
        create: Sends it on a slot.
        on_outcome: Called with each outcome the moment it is known; what it raises ends the call.
    """

    def __init__(
        self,
        lane: Lane,
        waits: Waits,
        sessions: IdSource,
        *,
        order: Order,
        create: Create,
        on_outcome: Callable[[Outcome], object] | None,
    ) -> None:
        self._lane = lane
        self._waits = waits
        self._sessions = sessions
        self._order = order
        self._create = create
        self._on_outcome = on_outcome
        self._found: dict[str, Outcome] = {}
        self._asked: dict[str, str] = {}  # sessions whose request is in flight, and its idempotency key
        self._session_of: dict[str, str] = {}  # by analysis, while it is waited for
        self._open = 0
        self._room = Alarm()  # the sleeper is the creator whose turn it is
        self._turn = anyio.Lock(fast_acquire=True)
        self._creators = 0
        self._reason: errors.KallglotError | None = None  # why nothing more is requested
        self._puller = Puller(sessions)
        self._stop: Callable[[], None] = lambda: None
        self._callback_error: BaseException | None = None

    async def run(self, options: WaitOptions) -> Outcomes:
        """Request and wait until every session has its outcome.

        Raises:
            IdSourceError: The iterable of sessions raised; the outcomes are on the error.
        """
        created, arrived = anyio.create_memory_object_stream[str](float("inf"))
        with created, arrived:
            async with aclosing(self._puller), anyio.create_task_group() as group:
                self._stop = group.cancel_scope.cancel
                self._creators = min(_CREATORS, options.max_in_flight, self._sessions.total or _CREATORS)
                for _ in range(self._creators):
                    group.start_soon(self._request_in_turn, created)
                await self._wait(arrived, options)
                group.cancel_scope.cancel()
        created_for = {session: id for id, session in self._session_of.items()}
        for session in self._sessions.ids:
            if session not in self._found:
                self._keep(self._unfinished(session, created_for))
        if self._callback_error is not None:
            raise self._callback_error
        outcomes = self._sessions.in_order(self._found)
        if self._puller.error is not None:
            raise errors.IdSourceError(
                f"the iterable of sessions raised {shown(self._puller.error)}", outcomes=outcomes
            ) from self._puller.error
        return outcomes

    # -- requests

    async def _request_in_turn(self, created: MemoryObjectSendStream[str]) -> None:
        while (session := await self._next_session()) is not None:
            operation = self._order(session)
            self._asked[session] = operation.idempotency_key or ""
            try:
                analysis = await self._request(operation)
            except errors.KallglotError as failure:
                self._open -= 1
                if isinstance(failure, BATCH_ENDING):
                    self._end_requests(failure)
                self._keep(Outcome(id=session, error=failure))
            else:
                self._session_of[analysis.id] = session
                created.send_nowait(analysis.id)
            self._asked.pop(session)
        self._creators -= 1
        if not self._creators:
            created.close()

    async def _request(self, operation: Operation[Analysis]) -> Analysis:
        refusals = 0
        while True:
            ticket = await self._lane.acquire(Urgency.DIRECT)
            try:
                return await self._create(operation, ticket)
            except errors.RateLimitedError:
                refusals += 1  # waited out: a batch outlasts the windows it needs
                if refusals > MOST_REFUSALS:
                    raise

    def _end_requests(self, reason: errors.KallglotError | None) -> None:
        """Request nothing more; what is under way is waited for."""
        if self._reason is None and reason is not None:
            self._reason = reason
            self._puller.stop()

    async def _next_session(self) -> str | None:
        """Return the next session to request an analysis of, once there is room; None: there are no more."""
        async with self._turn:
            while True:
                while self._reason is None and self._open >= self._capacity():
                    await self._room.sleep_until()
                item = await self._puller.next()
                if item is None:
                    return None
                if isinstance(item, errors.InvalidIdError):
                    self._keep(Outcome(id=item.id, error=item))
                elif self._reason is not None:
                    self._keep(Outcome(id=item, error=not_attempted(item, self._reason)))
                else:
                    self._open += 1
                    return item

    def _capacity(self) -> float:
        """How many analyses may be under way at once."""
        return min(_MOST_OPEN, max(_LEAST_OPEN, _OPEN_FOR * self._lane.supply(_clock.now()).rate))

    # -- waits

    async def _wait(self, arrived: MemoryObjectReceiveStream[str], options: WaitOptions) -> None:
        """Deliver the outcome of every analysis as it settles."""
        async with self._waits.start(IdSource(_ids_of(arrived), remember=False), options) as finished:
            async for outcome in finished:
                self._open -= 1
                self._room.ring()
                error = outcome.error
                if isinstance(error, errors.RequestError):
                    error.id = outcome.id  # paid for: it can be waited for again
                self._end_requests(error.reason if isinstance(error, errors.NotAttemptedError) else None)
                self._end_requests(error if isinstance(error, BATCH_ENDING) else None)
                session = self._session_of.pop(outcome.id, outcome.id)
                self._keep(
                    Outcome(
                        id=session, analysis=outcome.analysis, error=error, polls=outcome.polls, elapsed=outcome.elapsed
                    )
                )

    def _keep(self, outcome: Outcome) -> None:
        self._found[outcome.id] = outcome
        self._room.ring()
        if self._on_outcome is not None and self._callback_error is None:
            try:
                self._on_outcome(outcome)
            except (Exception, asyncio.CancelledError) as error:
                self._callback_error = error  # the caller's own, so it is raised as it is, not inside a group
                self._stop()

    def _unfinished(self, session: str, created_for: dict[str, str]) -> Outcome:
        """Say what became of a session that has no outcome when the call is over."""
        if (id := created_for.get(session)) is not None:  # requested, and the call was over before the first poll
            reason = self._reason
            return Outcome(id=session, error=timed_out(id, None) if reason is None else not_attempted(id, reason))
        if session in self._asked:
            error = errors.RequestTimeoutError(
                f"the time was over while the analysis of {session} was being requested: ask again with the same key",
                operation="analyses.create",
            )
            error.idempotency_key = self._asked[session]
            return Outcome(id=session, error=error)
        return Outcome(
            id=session,
            error=errors.NotAttemptedError(
                f"the time was over before the analysis of {session} was requested", id=session, reason=self._reason
            ),
        )


async def _ids_of(arrived: MemoryObjectReceiveStream[str]) -> AsyncGenerator[str, None]:
    async for id in arrived:
        yield id
