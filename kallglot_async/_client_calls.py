"""What a client does with many requests: wait for analyses, and request them and wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack, overload

from kallglot_async._batch import Ids, IdSource
from kallglot_async._config import ClientConfig, check_callback
from kallglot_async._core.ids import check_session_id
from kallglot_async._core.polling import PollSchedule
from kallglot_async._pipeline import Pipeline
from kallglot_async._waiting import OnProgress, WaitCall, Waits
from kallglot_async.errors import RequestError
from kallglot_async.models import Analysis, AnalysisRequestA, AnalysisRequestB, Outcome, Outcomes
from kallglot_async.resources.analyses import Analyses

__all__ = ["ClientCalls"]


class ClientCalls:
    """The calls of a `KallglotClient` that take more than one request. Its parts are the client's."""

    analyses: Analyses
    _config: ClientConfig
    _pipeline: Pipeline
    _waits: Waits

    async def wait(self, id: str, *, timeout: float | None = 120.0, schedule: PollSchedule | None = None) -> Analysis:
        """Wait until the analysis has settled and return it.

        Polls pass the shared limiter; two waits for the same id are one poller. Failed polls are retried at
        later polls. A poll costs no API credits. Cancelling it ends its polling; other waits go on.

        Args:
            id: The analysis id.
            timeout: Seconds for the whole wait, the queue at the limiter included; None for ever. Default
                120. The last poll is timed so that its answer arrives before.
            schedule: How polls follow each other. Default: learned from earlier analyses.

        Raises:
            InvalidIdError: Before any I/O.
            AnalysisFailedError: It ended `failed`; it is on the error.
            WaitTimeoutError: Still pending at the deadline.
            KallglotError: A poll failed in a way that waiting cannot mend; see `errors`.
        """
        options = self._waits.options(timeout, None, 1, schedule, from_add=True)
        outcomes = await self._waits.collect(IdSource([id], remember=True), options)
        return outcomes[0].unwrap()

    async def wait_many(
        self,
        ids: Ids,
        *,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        schedule: PollSchedule | None = None,
        on_progress: OnProgress | None = None,
        on_outcome: Callable[[Outcome], object] | None = None,
    ) -> Outcomes:
        """Wait until all analyses have settled, and return what became of each.

        One scheduler decides which id is worth the next request, and one limiter decides when it may go; a
        failure of one id never costs another. A 401, 402 or 403 ends the batch: the rest are reported with
        `NotAttemptedError`. Polls cost no API credits. A cancellation ends every request; what had settled
        by then has been given to `on_outcome`.

        Args:
            ids: Any iterable or asynchronous iterable, pulled as there is room. Repetitions are one wait.
            timeout: Seconds for each id, from its first poll; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever. What has settled by then
                is returned, the rest with `WaitTimeoutError`.
            max_in_flight: Requests at once; default: the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_progress: Called with a snapshot after every answer.
            on_outcome: Called with each outcome the moment it is known.

        Returns:
            One outcome for each distinct id, in the order of the input.

        Raises:
            InvalidIdError: A collection holds an impossible id; nothing was sent. An impossible id from a
                lazy source becomes an outcome instead.
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        check_callback("on_outcome", on_outcome)
        options = self._waits.options(timeout, total_timeout, max_in_flight, schedule, on_progress=on_progress)
        return await self._waits.collect(IdSource(ids, remember=True), options, on_outcome)

    @overload
    async def analyze(
        self,
        session_id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        idempotency_key: str | None = None,
        **request: Unpack[AnalysisRequestA],
    ) -> Analysis: ...
    @overload
    async def analyze(
        self,
        session_id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        idempotency_key: str | None = None,
        **request: Unpack[AnalysisRequestB],
    ) -> Analysis: ...
    async def analyze(
        self,
        session_id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        idempotency_key: str | None = None,
        **request: Any,
    ) -> Analysis:
        """Request the analysis of a finished session, wait until it has settled, and return it.

        `analyses.create` and `wait` in one: the same retries, and in revision B the same API credit. If the wait
        runs out of time, the error's `id` names the analysis: wait for that, rather than pay for another.

        Args:
            session_id: The session, `sess_...`.
            timeout: Seconds for the wait, which begins once the request was accepted; None for ever. Default 120.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            idempotency_key: Default: a new UUID. With a key of your own the call can be repeated, after a crash too.
            request: What is asked for, as in `analyses.create`.

        Raises:
            AnalysisFailedError: It ended `failed`; it is on the error.
            WaitTimeoutError: Still pending at the deadline.
            KallglotError: See `analyses.create` and `wait`.
        """
        options = self._waits.options(timeout, None, 1, schedule, from_add=True)  # refused before anything is paid for
        created = await self.analyses.create(session_id, idempotency_key=idempotency_key, **request)
        outcomes = await self._waits.collect(IdSource([created.id], remember=True), options)
        if isinstance(error := outcomes[0].error, RequestError):
            error.id = created.id
        return outcomes[0].unwrap()

    @overload
    async def analyze_many(
        self,
        session_ids: Ids,
        *,
        batch: str | None = None,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        schedule: PollSchedule | None = None,
        on_outcome: Callable[[Outcome], object] | None = None,
        **request: Unpack[AnalysisRequestA],
    ) -> Outcomes: ...
    @overload
    async def analyze_many(
        self,
        session_ids: Ids,
        *,
        batch: str | None = None,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        schedule: PollSchedule | None = None,
        on_outcome: Callable[[Outcome], object] | None = None,
        **request: Unpack[AnalysisRequestB],
    ) -> Outcomes: ...
    async def analyze_many(
        self,
        session_ids: Ids,
        *,
        batch: str | None = None,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        schedule: PollSchedule | None = None,
        on_outcome: Callable[[Outcome], object] | None = None,
        **request: Any,
    ) -> Outcomes:
        """Request the analyses of many sessions and wait for all, under one rate limit.

        As many are under way at once as the rate allows to look after. A 402 stops the requests, and what is paid
        for is waited for; a 401 or 403 ends the batch. One failure never costs a sibling. Revision B costs an API
        credit for each request that succeeds. A cancellation ends everything; with a `batch` name the call can be
        made again, and creates nothing twice for about 24 hours.

        Args:
            session_ids: Any iterable or asynchronous iterable, pulled as there is room. Repetitions are one.
            batch: A name for this batch, from which each session's idempotency key is made. Default: new keys.
            timeout: Seconds for each analysis, from its first poll; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever.
            max_in_flight: Requests at once; default: the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_outcome: Called with each outcome the moment it is known; what it raises ends the call.
            request: What is asked for of each session, as in `analyses.create`.

        Returns:
            One outcome for each distinct session, in the order of the input; its `id` is the session's. Where an
            analysis was created but not waited for to its end, the error's `id` names it.

        Raises:
            ConfigurationError: The request cannot be made like that; nothing was sent.
            InvalidIdError: A collection holds what is no id of a session; nothing was sent.
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        from kallglot_async._analyzing import AnalyzeCall, orders

        check_callback("on_outcome", on_outcome)
        order = orders(request, batch)
        options = self._waits.options(timeout, total_timeout, max_in_flight, schedule)
        call = AnalyzeCall(
            self._pipeline.lane("analysis"),
            self._waits,
            IdSource(session_ids, remember=True, check=check_session_id),
            order=order,
            create=lambda operation, ticket: self.analyses.request(
                operation, timeout=self._config.timeout, ticket=ticket
            ),
            on_outcome=on_outcome,
        )
        return await call.run(options)

    def as_completed(
        self,
        ids: Ids,
        *,
        timeout: float | None = 120.0,
        total_timeout: float | None = None,
        max_in_flight: int | None = None,
        schedule: PollSchedule | None = None,
        on_progress: OnProgress | None = None,
    ) -> WaitCall:
        """Wait for many analyses and get each outcome as it settles, in bounded memory.

            async with client.as_completed(ids) as finished:
                async for outcome in finished:
                    ...

        Like `wait_many`; ids are pulled as outcomes are taken, so a source of millions is fine. A repetition
        is the same wait while its id is pending, and from a lazy source a new wait after that. Leaving the
        block ends everything that is still running. Enter and leave it in the same task.
        """
        options = self._waits.options(timeout, total_timeout, max_in_flight, schedule, on_progress=on_progress)
        return self._waits.start(IdSource(ids, remember=False), options)
