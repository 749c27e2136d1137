"""`AnalyzeCall`: requests the analyses of many sessions and waits for all of them, under one limiter.

Requests go before polls, but only so many analyses are under way at once as the rate allows to look after
(`Admission`): a batch that asked for everything first would have spent the windows in which it could hear of the
answers. A 402 stops the requests, and what is paid for is waited for.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import structs

from kallglot_async import errors
from kallglot_async._checks import check_text
from kallglot_async._core.api.analyses import create_analysis
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._events import PlainCallback
from kallglot_async._waiting.batch import Batch
from kallglot_async._waiting.call import OnProgress
from kallglot_async._waiting.creator import Creator
from kallglot_async._waiting.endings import not_attempted, timed_out
from kallglot_async._waiting.waits import IdSource, OnCreated, WaitOptions, Waits
from kallglot_async._wire.admission import Place
from kallglot_async.models import Analysis, Outcome, Outcomes, Progress
from kallglot_async.models.analysis import SETTLED

__all__ = ["AnalyzeCall", "Order", "orders"]

Order = Callable[[str], Operation[Analysis]]  # session id to request, its idempotency key included

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

    if batch is not None:
        batch = check_text("batch", batch)
    # As they are now: an iterator gives them once, and whoever changes a list later would ask for something else.
    request = {name: tuple(it) if isinstance(it, Iterator | list) else it for name, it in request.items()}
    # Made for nobody, for its checks: a batch is refused before its first request.
    order("sess_any")
    return order


class AnalyzeCall:
    """One `analyze_many`: one outcome for each session, by the session's id.

    Args:
        batch: The sessions.
        waits: How analyses are waited for.
        creator: How they are requested.
        order: Makes the request for one session.
        timeout: Seconds for one request with its retries; None for ever.
        on_created: Called with a session's id and its analysis before that is polled, and awaited where it is a
            coroutine function; what it raises ends the call.
        on_progress: Called with a snapshot whenever a request, for an analysis or of one, has ended.
    """

    __slots__ = (
        "_asked", "_batch", "_creator", "_lasts", "_on_created", "_on_progress", "_order", "_places", "_polls",
        "_requests", "_session_of", "_timeout", "_turn", "_waits",
    )  # fmt: skip

    def __init__(
        self,
        batch: Batch,
        waits: Waits,
        creator: Creator,
        *,
        order: Order,
        timeout: float | None,
        on_created: OnCreated | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._batch = batch
        self._waits = waits
        self._creator = creator
        self._lasts: float | None = None  # seconds that the wait for an analysis may take
        self._order = order
        self._timeout = timeout
        self._on_created = on_created
        self._on_progress: PlainCallback[Progress] | None = None
        if on_progress is not None:
            self._on_progress = PlainCallback("on_progress", on_progress, "kallglot_async.waiting")
        self._requests = self._polls = 0  # requests for analyses that were answered, and polls
        self._asked: dict[str, str] = {}  # sessions whose request is in flight, and its idempotency key
        self._session_of: dict[str, str] = {}  # by analysis, while it is waited for
        self._places: dict[str, Place] = {}  # by session, from before its request until its outcome is told
        self._turn = anyio.Lock(fast_acquire=True)

    async def run(self, options: WaitOptions) -> Outcomes:
        """Request and wait until every session has its outcome.

        Raises:
            IdSourceError: The iterable of sessions raised; the outcomes are on the error.
        """
        self._lasts = options.timeout
        if self._on_progress is not None:
            options = structs.replace(options, on_progress=self._on_polled)
        # Without a bound of its own, as nobody waits to put an id in: `Admission` bounds what is under way.
        created, arrived = anyio.create_memory_object_stream[str](float("inf"))

        async def wait() -> None:
            # From now on it is open for as long as a creator has its own, and ends when the last of them has.
            created.close()
            await self._wait(arrived, options)

        try:
            with created, arrived:
                creators = min(_CREATORS, options.max_in_flight)
                await self._batch.run(
                    creators,
                    lambda: self._request_in_turn(created.clone()),
                    wait,
                    hears_answers=self._on_created is not None,
                )
        finally:
            for place in self._places.values():
                place.leave()
        created_for = {session: id for id, session in self._session_of.items()}
        for session in self._batch.ids:
            if session not in self._batch.found:
                await self._batch.keep(Outcome(id=session, error=self._unfinished(session, created_for.get(session))))
        return self._batch.outcomes()

    # -- requests

    async def _request_in_turn(self, created: MemoryObjectSendStream[str]) -> None:
        with created:
            while (session := await self._next_session()) is not None:
                create = partial(self._create, session, self._order(session))
                try:
                    analysis = await self._batch.send(session, Urgency.DIRECT, create)
                    self._check_own(analysis, session)
                except errors.KallglotError as failure:
                    await self._batch.keep(Outcome(id=session, error=failure))
                    self._leave(session)
                else:
                    # Before anybody is told: if the call ends meanwhile, the outcome has to name what was paid for, and
                    # to have what has come.
                    settled = self._note_created(session, analysis)
                    if self._on_created is not None:
                        await self._batch.tell("on_created", self._on_created, session, analysis)
                    if settled is None:
                        created.send_nowait(analysis.id)
                    else:
                        await self._batch.tell_outcome(settled)
                        self._leave(session)
                # Not where the request is cancelled: its key has to be in the outcome then, to ask again with.
                self._asked.pop(session, None)
                self._report_progress()

    def _create(self, session: str, operation: Operation[Analysis], ticket: Ticket) -> Coroutine[Any, Any, Analysis]:
        """Request the analysis of a session on a slot: from now on nobody knows, until there is an answer."""
        self._asked[session] = operation.idempotency_key or ""
        return self._creator.send(
            operation, ticket, timeout=self._timeout, is_patient=True, on_answer=self._on_requested
        )

    def _note_created(self, session: str, analysis: Analysis) -> Outcome | None:
        """Note what was created for a session; returns its outcome if it has settled, else it is waited for."""
        outcome = self._waits.outcome_of(analysis) if analysis.status in SETTLED else None
        if outcome is None:
            self._session_of[analysis.id] = session
            return None
        outcome = structs.replace(outcome, id=session)
        self._batch.note(outcome)
        return outcome

    def _check_own(self, analysis: Analysis, session: str) -> None:
        """Refuse what was created for another session: it has one outcome, and one of the two would have none."""
        if analysis.id not in self._session_of:
            return
        error = errors.ResponseMismatchError(
            f"analyses.create was answered for {session} with the analysis of another session",
            operation="analyses.create",
        )
        error.attempts, error.idempotency_key = 1, self._asked[session]
        raise error

    async def _next_session(self) -> str | None:
        """Return the next session to request an analysis of, once there is room; None: there are no more."""
        async with self._turn:
            if self._batch.reason is None:
                await self._creator.wait_for_room(self._lasts)
            # Without a place: a source may take any time.
            session = await self._batch.next_id()
            if session is not None:
                self._places[session] = self._creator.hold(self._lasts)
            return session

    def _leave(self, session: str) -> None:
        """The analysis of a session is under way no more."""
        if (place := self._places.pop(session, None)) is not None:
            place.leave()

    def _on_requested(self) -> None:
        self._requests += 1

    # -- progress

    def _on_polled(self, of_waits: Progress) -> None:
        self._polls = of_waits.requests
        self._report_progress()

    def _report_progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress.tell(self._progress)

    def _progress(self) -> Progress:
        return Progress(
            total=self._batch.total,
            settled=self._batch.settled,
            failed=self._batch.failed,
            pending=self._batch.pending,
            requests=self._requests + self._polls,
            rate_limit=self._batch.lane.state(),
        )

    # -- waits

    async def _wait(self, arrived: MemoryObjectReceiveStream[str], options: WaitOptions) -> None:
        """Deliver the outcome of every analysis as it settles."""
        async with self._waits.start(IdSource(_ids_of(arrived), remember=False), options) as finished:
            async for outcome in finished:
                error = outcome.error
                if isinstance(error, errors.RequestError):
                    # It is paid for, and can be waited for again.
                    error.id = outcome.id
                if isinstance(error, errors.NotAttemptedError) and error.reason is not None:
                    self._batch.end(error.reason)
                session = self._session_of.pop(outcome.id, outcome.id)
                await self._batch.keep(structs.replace(outcome, id=session))
                self._report_progress()
                # Last: who is slow to take outcomes is not asked for more.
                self._leave(session)

    def _unfinished(self, session: str, id: str | None) -> errors.KallglotError:
        """Say what became of a session that has no outcome when the call is over; `id`: the analysis created for it."""
        reason = self._batch.reason
        # Requested, and the call was over before the first poll.
        if id is not None:
            return timed_out(id, None) if reason is None else not_attempted(id, reason)
        if session in self._asked:
            error = errors.RequestTimeoutError(
                f"the time was over while the analysis of {session} was being requested: ask again with the same key",
                operation="analyses.create",
            )
            error.idempotency_key = self._asked[session]
            return error
        return errors.NotAttemptedError(
            f"the time was over before the analysis of {session} was requested", id=session, reason=reason
        )


async def _ids_of(arrived: MemoryObjectReceiveStream[str]) -> AsyncGenerator[str, None]:
    async for id in arrived:
        yield id
