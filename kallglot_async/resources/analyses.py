"""`client.analyses`: request analyses and fetch them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Unpack, overload

import anyio

from kallglot_async import _clock, errors
from kallglot_async._batch import BATCH_ENDING, Ids, IdSource, Puller, not_attempted
from kallglot_async._checks import shown
from kallglot_async._config import check_callback, check_count
from kallglot_async._core.messages import Operation, create_analysis, retrieve_analysis
from kallglot_async._core.rate_limit import Ticket, Urgency
from kallglot_async._pipeline import Pipeline
from kallglot_async.models import Analysis, AnalysisRequestA, AnalysisRequestB, Outcome, Outcomes
from kallglot_async.resources.timeouts import CLIENT_TIMEOUT, Timeout, seconds_of

__all__ = ["MOST_REFUSALS", "Analyses"]

MOST_REFUSALS = 10  # in a row, for one id of a batch; each is waited out, and a server may refuse for ever


class Analyses:
    """Fetches and requests analyses. Reached as `client.analyses`.

    Both revisions of the API are served by the same calls: the id's prefix decides.
    """

    __slots__ = ("_max_in_flight", "_on_created", "_pipeline", "_timeout")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        timeout: float | None,
        max_in_flight: int,
        on_created: Callable[[Analysis], None],
    ) -> None:
        self._pipeline = pipeline
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._on_created = on_created

    async def retrieve(self, id: str, *, timeout: Timeout = CLIENT_TIMEOUT) -> Analysis:
        """Return the analysis as it stands now, settled or not: one GET, retried where that is safe.

        It goes ahead of polls at the limiter. Cancelling it sends nothing more and loses nothing. It costs
        no API credits.

        Args:
            id: The analysis id, `ana_...` or `anl_...`.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such analysis, or its results are older than 90 days.
            RateLimitedError: The rate limit leaves no time before the deadline.
            KallglotError: Any other way it can fail; see `errors`.
        """
        return await self._pipeline.run(retrieve_analysis(id), timeout=seconds_of(timeout, self._timeout))

    async def retrieve_many(
        self,
        ids: Ids,
        *,
        timeout: Timeout = CLIENT_TIMEOUT,
        max_in_flight: int | None = None,
        on_outcome: Callable[[Outcome], object] | None = None,
    ) -> Outcomes:
        """Fetch many analyses as they stand now, concurrently, without waiting for any to settle.

        Spends what the rate limit's window holds at once, in turn with the polls of waits, and outlasts the
        windows it needs. A 401, 402 or 403 ends the batch early.

        Args:
            ids: Any iterable or asynchronous iterable. Each distinct id is fetched once.
            timeout: Seconds for each id, from the moment its first request may go. Default: the client's.
            max_in_flight: Requests at once; default: the client's.
            on_outcome: Called with each outcome the moment it is known; what it raises ends the call.

        Returns:
            One outcome for each distinct id, in the order of the input.

        Raises:
            InvalidIdError: A collection holds an impossible id; nothing was sent. An impossible id from a
                lazy source becomes an outcome instead.
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        check_callback("on_outcome", on_outcome)
        workers = self._max_in_flight
        if max_in_flight is not None:
            workers = check_count("max_in_flight", max_in_flight)
        batch = _Fetch(self._pipeline, IdSource(ids, remember=True), seconds_of(timeout, self._timeout), on_outcome)
        return await batch.run(workers)

    @overload
    async def create(
        self,
        session_id: str,
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = CLIENT_TIMEOUT,
        **request: Unpack[AnalysisRequestA],
    ) -> Analysis: ...
    @overload
    async def create(
        self,
        session_id: str,
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = CLIENT_TIMEOUT,
        **request: Unpack[AnalysisRequestB],
    ) -> Analysis: ...
    async def create(
        self,
        session_id: str,
        *,
        analyses: Sequence[str] | None = None,
        language: str | None = None,
        webhook_url: str | None = None,
        custom_prompts: Mapping[str, str] | None = None,
        profile: str | None = None,
        include: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        timeout: Timeout = CLIENT_TIMEOUT,
    ) -> Analysis:
        """Request the analysis of a finished session and return it as it was accepted.

        With `analyses`, revision A's body is sent; otherwise revision B's, which costs one API credit when
        it succeeds. An idempotency key is minted once for the call and sent with every attempt, so retries
        create nothing twice. Where the outcome stays unknown, the error carries that key: repeat the call
        with it. After a cancellation only a key of your own lets you do the same.

        Args:
            session_id: The session, `sess_...`.
            analyses: Revision A: components such as `sentiment`, `summary`, `action_items`, `quality`,
                `topics`, `compliance`.
            language: Revision A: output language; the API's default is `en`.
            webhook_url: Revision A: where the result is sent.
            custom_prompts: Revision A: prompts by component.
            profile: Revision B: the analysis profile; the API's default is `default`.
            include: Revision B: components such as `summary`, `sentiment`, `compliance`, `keywords`,
                `performance`.
            idempotency_key: Default: a new UUID.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.

        Raises:
            ConfigurationError: Fields of both revisions are mixed or impossible; nothing was sent.
            InsufficientCreditsError: No credits are left. Not retried.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = create_analysis(
            session_id,
            idempotency_key=str(uuid.uuid4()) if idempotency_key is None else idempotency_key,
            analyses=analyses,
            language=language,
            webhook_url=webhook_url,
            custom_prompts=custom_prompts,
            profile=profile,
            include=include,
        )
        return await self.request(operation, timeout=seconds_of(timeout, self._timeout))

    async def request(
        self, operation: Operation[Analysis], *, timeout: float | None, ticket: Ticket | None = None
    ) -> Analysis:
        """Send a request for an analysis, on a slot if one was taken, and remember what was created."""
        created = await self._pipeline.run(operation, timeout=timeout, ticket=ticket)
        self._on_created(created)
        return created


class _Fetch:
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
                self._lane.unsent(ticket, Urgency.AHEAD)
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
