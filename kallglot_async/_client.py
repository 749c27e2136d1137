"""`KallglotClient`: composition and lifetime, no logic of its own."""

from __future__ import annotations

import os
import random as _random
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import aiohttp

from kallglot_async import _clock
from kallglot_async._checks import check_callback, check_plain_callback
from kallglot_async._config import AS_CLIENT, AsClient, ClientConfig, Secret, resolve_config
from kallglot_async._core.api.analyses import check_request
from kallglot_async._core.api.ids import check_session_id
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._events import Observer, OnEvent
from kallglot_async._waiting.batch import OnOutcome
from kallglot_async._waiting.call import OnProgress, WaitCall
from kallglot_async._waiting.inbox import WebhookInbox
from kallglot_async._waiting.shared import Shared
from kallglot_async._waiting.source import Ids, IdSource
from kallglot_async._waiting.waits import MAX_READY, Waits
from kallglot_async._wire.limiter import RateLimiter, limiter_of
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.pool import pool_of
from kallglot_async.errors import ConfigurationError, RequestError
from kallglot_async.models import (
    Analysis,
    AnalysisRequestA,
    AnalysisRequestB,
    ClientStats,
    Outcome,
    Outcomes,
    RateLimit,
    RateLimitState,
)
from kallglot_async.resources.analyses import Analyses

if TYPE_CHECKING:
    from kallglot_async._waiting.analyze_many import OnCreated
    from kallglot_async.resources.recordings import Recordings
    from kallglot_async.resources.sessions import Sessions
    from kallglot_async.webhooks import Event

__all__ = ["KallglotClient", "wait_many"]


class KallglotClient:
    """A client of the Kallglot API: one pool of connections, one rate limiter, and one model of how long analyses take.

    Each wait has a queue of its own, in which that model says which id is worth the next request; the limiter says
    whose request goes next.

    Use it as an async context manager, or call `aclose` when done. It may be used in one event loop after
    another (three `asyncio.run` in turn), and after `aclose` again: connections open as they are needed. It
    is not for use from several threads at once.

    Args:
        api_key: `sk_live_...` or `sk_test_...`. Default: the environment's `KALLGLOT_API_KEY`.
        base_url: Default: the environment's `KALLGLOT_BASE_URL`, else `https://api.kallglot.com/v1`. Must be
            https, except on loopback.
        timeout: Seconds for one direct call with everything it needs, and for one poll of a wait. Default 30.
            None: for ever, but an attempt that gets no byte for 60 s is over.
        max_attempts: Requests for one call at most, the first included. Default 3. Retried are connection
            failures, 408, 425, 499, 5xx but 501, 505 and 511, `idempotency_conflict`, answers cut short, and a 400,
            401, 403 or 404 that does not look like the API's; if the request is a GET or carries an idempotency key. A
            429 is waited out and not counted. In a wait, time and not attempts is the measure.
        rate_limit: A ceiling on top of what the server allows, or a `RateLimiter` to share with other clients.
        max_connections: Open connections at most, for each event loop. Default 100.
        max_in_flight: Requests of one batch at once. Default 64.
        max_response_bytes: A larger body, after decompression, is an error; audio is not meant. Default 16 MiB.
        max_rate_wait: Seconds that a direct call may queue for the rate limit before it fails with
            `RateLimitedError`; None (the default): as long as its timeout.
        connect_timeout: Seconds for the look-up of the name, and again for connecting, TLS included. Default 10.
        trust_env: Whether proxies are taken from the environment. Default False.
        keep_raw: Whether a value keeps the body that it came from, as `raw`, and with it what no field takes, as
            `extra`. Default True; it costs the bytes of the bodies for as long as the values are held.
        session: A session of yours to use instead of the pool, with its own limit of connections and its own
            proxies. It is never closed here. What must not see your headers and cookies, such as a pre-signed link,
            is fetched on connections of the client's own all the same.
        inbox: Where a receiver puts webhook events. An announced analysis is then fetched at once. Polling goes on
            as without an inbox until an event for something that is waited for has come, from then on slowly, as the
            safety net (after a minute, then rarer, at least every five minutes), and as without an inbox again once an
            analysis was found settled without its event. A `schedule` that a call names is kept to in any case.
            May be shared by several clients.
        on_event: Called with a record of everything the client does, in order: see `models.ClientEvent` and its
            subclasses. It must be quick; if it raises, that is logged and it is not called again.
        random: Uniform in [0, 1), for jitter; a test may hand in its own.

    Raises:
        ConfigurationError: A setting is missing or cannot be used. Nothing was sent.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = 30.0,
        max_attempts: int = 3,
        rate_limit: RateLimit | RateLimiter | None = None,
        max_connections: int = 100,
        max_in_flight: int = 64,
        max_response_bytes: int = 16 * 1024 * 1024,
        max_rate_wait: float | None = None,
        connect_timeout: float = 10.0,
        trust_env: bool = False,
        keep_raw: bool = True,
        session: aiohttp.ClientSession | None = None,
        inbox: WebhookInbox | None = None,
        on_event: OnEvent | None = None,
        random: Callable[[], float] = _random.random,  # noqa: TID251  # the default source of jitter
    ) -> None:
        key = Secret(api_key) if api_key is not None else None
        api_key = None  # no frame of ours holds the key as text
        config = resolve_config(
            api_key=key,
            base_url=base_url,
            environ=os.environ,
            timeout=timeout,
            max_attempts=max_attempts,
            max_connections=max_connections,
            max_in_flight=max_in_flight,
            max_response_bytes=max_response_bytes,
            max_rate_wait=max_rate_wait,
            connect_timeout=connect_timeout,
            trust_env=trust_env,
            keep_raw=keep_raw,
        )
        check_plain_callback("on_event", on_event)
        if not callable(random):
            raise ConfigurationError(f"random is a function without arguments, not {type(random).__name__}")
        has_inbox = inbox is not None
        inbox = WebhookInbox() if inbox is None else inbox  # `settle` needs one in any case
        shared = Shared(pool_of(config, session), random, Observer(on_event), inbox, has_inbox)
        self._assemble(config, shared, limiter_of(rate_limit))

    def _assemble(self, config: ClientConfig, shared: Shared, limiter: RateLimiter) -> None:
        self._config, self._shared, self._limiter, self._pool = config, shared, limiter, shared.pool
        self._is_view = False  # a view closes nothing: the client whose connections it uses does
        self._pipeline = Pipeline(config, shared.pool, limiter, shared.random, shared.observer, shared.budget)
        self._hub = shared.hub(config.api_key)
        self._waits = Waits(self._hub, self._pipeline, config.max_in_flight)
        self.analyses = Analyses(
            self._pipeline, self._waits, timeout=config.timeout, max_in_flight=config.max_in_flight
        )

    # Loaded when they are first used: most clients use analyses alone.

    @cached_property
    def sessions(self) -> Sessions:
        """Fetches and ends sessions, and fetches their transcripts and recordings' list."""
        from kallglot_async.resources.sessions import Sessions

        return Sessions(self._pipeline, timeout=self._config.timeout)

    @cached_property
    def recordings(self) -> Recordings:
        """Fetches recordings, and downloads their audio."""
        from kallglot_async.resources.recordings import Recordings

        return Recordings(self._pipeline, self._config)

    # -- many requests: wait for analyses, or request them and wait

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
        # From the call on: who waits for one analysis counts from when they asked, and no queue of ids is before it.
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
        on_outcome: OnOutcome | None = None,
    ) -> Outcomes:
        """Wait until all analyses have settled, and return what became of each.

        What the client has learned of analyses decides which id is worth the next request, and its one limiter when
        it may go; a failure of one id never costs another. A 401, 402 or 403 ends the batch: the rest are reported with
        `NotAttemptedError`. Polls cost no API credits. A cancellation ends every request; what had settled
        by then has been given to `on_outcome`.

        Args:
            ids: Any iterable or asynchronous iterable, pulled as there is room. Repetitions are one wait.
            timeout: Seconds for each id, from its first poll; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever. What has settled by then
                is returned, the rest with `WaitTimeoutError`.
            max_in_flight: Requests at once; default: the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_progress: Called with a snapshot whenever a poll has ended, with an answer or without one. A plain
                function; if it raises, that is logged and it is not called again.
            on_outcome: Called with each outcome as it is known, one at a time; a coroutine function is awaited, and
                polling pauses where it is 1,000 outcomes behind. What it raises ends the call.

        Returns:
            One outcome for each distinct id, in the order of the input. An impossible id has an `InvalidIdError`.

        Raises:
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
        check_request("analyze", request)
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
        on_outcome: OnOutcome | None = None,
        on_created: OnCreated | None = None,
        on_progress: OnProgress | None = None,
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
        on_outcome: OnOutcome | None = None,
        on_created: OnCreated | None = None,
        on_progress: OnProgress | None = None,
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
        on_outcome: OnOutcome | None = None,
        on_created: OnCreated | None = None,
        on_progress: OnProgress | None = None,
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
            timeout: Seconds for each analysis, from its first poll, and for the request of one with its retries, which
                has no less than the client's timeout; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever. What is being told then, or is in
                line for it, is told to its end, for 30 s at most.
            max_in_flight: Requests at once; default: the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_outcome: Called with each outcome the moment it is known, one at a time; a coroutine function is awaited,
                and what it has not taken counts as under way. What it raises ends the call.
            on_created: Called with a session's id and its analysis as it was accepted, before that is polled; as for
                `on_outcome`. Whoever keeps the id can wait for it again, whatever happens to this process. It is
                also told of what was being requested as `total_timeout` ended, if the answer comes within 5 s more.
            on_progress: Called with a snapshot whenever a request, for an analysis or of one, has ended, and with each
                outcome. A plain function; if it raises, that is logged and it is not called again.
            request: What is asked for of each session, as in `analyses.create`.

        Returns:
            One outcome for each distinct session, in the order of the input; its `id` is the session's. What is no id
            of a session has an `InvalidIdError`. Where an
            analysis was created but not waited for to its end, the error's `id` names it.

        Raises:
            ConfigurationError: The request cannot be made like that; nothing was sent.
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        from kallglot_async._waiting.analyze_many import AnalyzeCall, orders
        from kallglot_async._waiting.batch import Batch

        check_callback("on_outcome", on_outcome)
        check_callback("on_created", on_created)
        check_request("analyze_many", request)
        order = orders(request, batch)
        check_plain_callback("on_progress", on_progress)
        options = self._waits.options(timeout, total_timeout, max_in_flight, schedule)
        source = IdSource(session_ids, remember=True, check=check_session_id)
        sessions = Batch(self._pipeline, source, on_outcome, noun="sessions")
        patience = None if timeout is None or self._config.timeout is None else max(timeout, self._config.timeout)
        call = AnalyzeCall(
            sessions, self._waits, order=order, timeout=patience, on_created=on_created, on_progress=on_progress
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
        max_ready: int = MAX_READY,
    ) -> WaitCall:
        """Wait for many analyses and get each outcome as it settles, in bounded memory.

            async with client.as_completed(ids) as finished:
                async for outcome in finished:
                    ...

        Like `wait_many`; ids are pulled as outcomes are taken, so a source of millions is fine. A repetition
        is the same wait while its id is pending, and from a lazy source a new wait after that. Leaving the
        block ends everything that is still running. Enter and leave it in the same task.

        Args:
            ids: As for `wait_many`; an impossible id has an `InvalidIdError` as its outcome.
            timeout: As for `wait_many`.
            total_timeout: As for `wait_many`.
            max_in_flight: As for `wait_many`.
            schedule: As for `wait_many`.
            on_progress: As for `wait_many`.
            max_ready: Outcomes that may lie undelivered: with so many, polling stops until one is taken, so that a
                slow sink is not run away from, and a crash repeats no more than that. Last looks are sent all the
                same. Default 1,000.
        """
        options = self._waits.options(
            timeout, total_timeout, max_in_flight, schedule, on_progress=on_progress, max_ready=max_ready
        )
        return self._waits.start(IdSource(ids, remember=False), options)

    # -- views, events, figures, lifetime

    def with_options(
        self,
        *,
        api_key: str | None = None,
        timeout: float | AsClient | None = AS_CLIENT,
        max_attempts: int | AsClient = AS_CLIENT,
        max_in_flight: int | AsClient = AS_CLIENT,
        max_rate_wait: float | AsClient | None = AS_CLIENT,
        rate_limit: RateLimit | RateLimiter | None = None,
    ) -> KallglotClient:
        """Return a view of this client with other options: cheap, for one call or for one tenant.

            analysis = await client.with_options(timeout=2.0, max_attempts=1).analyses.retrieve(id)

        It shares connections, retry budget, inbox and what was learned of analyses; under the same key also the
        limiter, and two waits for one id are one poller. Closing a view closes nothing.

        Args:
            api_key: Another organization's key: its limits are its own.
            timeout: As for the client; each of these is the client's where it is left out.
            max_attempts: As for the client.
            max_in_flight: As for the client.
            max_rate_wait: As for the client.
            rate_limit: Another ceiling or limiter, in the place of the client's.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        key = AS_CLIENT if api_key is None else Secret(api_key)
        api_key = None  # no frame of ours holds the key as text
        view = object.__new__(KallglotClient)  # not by its constructor, which reads the environment and opens a pool
        config = self._config.changed(
            api_key=key,
            timeout=timeout,
            max_attempts=max_attempts,
            max_in_flight=max_in_flight,
            max_rate_wait=max_rate_wait,
        )
        view._assemble(config, self._shared, self._limiter if rate_limit is None else limiter_of(rate_limit))
        view._is_view = True
        return view

    def settle(self, event: Event) -> bool:
        """Take in a verified webhook event: whoever waits for its analysis fetches it at once, with one request.

        For a receiver of your own; those in `receivers` put events into an `inbox`, which does the same. An event
        is a hint and no result: one that comes too early, twice or not at all costs a request at most.

        Returns:
            False where an event with this id came before.
        """
        return self._shared.inbox.put(event)

    @property
    def rate_limit(self) -> RateLimitState:
        """What is known now of the rate limit for analyses."""
        return self._pipeline.lane("analysis").state()

    @property
    def stats(self) -> ClientStats:
        """What was done so far, in the groups of endpoints that this client has used.

        Requests are counted by the limiter, so clients and views that share one under the same key count together.
        """
        return self._pipeline.stats(waiting_for=len(self._hub))

    async def aclose(self) -> None:
        """Close the connections of this event loop. Twice is fine; a later call opens new ones.

        What still runs loses its connection, and goes on with a new one where its request may be repeated.
        """
        if not self._is_view:
            await self._pool.aclose()

    async def __aenter__(self) -> Self:
        _clock.running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<KallglotClient {self._config.base_url} key={self._config.api_key} {self._limiter}>"


async def wait_many(
    ids: Ids,
    *,
    timeout: float | None = 120.0,
    total_timeout: float | None = None,
    max_in_flight: int | None = None,
    schedule: PollSchedule | None = None,
    on_progress: OnProgress | None = None,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> Outcomes:
    """Wait for many analyses with a client that is opened from the environment for this one call.

    Everything else is as `KallglotClient.wait_many` says. Keep one client instead where you wait more than
    once: what it learns of the limit and of the analyses is worth requests.

    Raises:
        ConfigurationError: `KALLGLOT_API_KEY` is missing or malformed, or `KALLGLOT_BASE_URL` cannot be used.
    """
    async with KallglotClient() as client:
        return await client.wait_many(
            ids,
            timeout=timeout,
            total_timeout=total_timeout,
            max_in_flight=max_in_flight,
            schedule=schedule,
            on_progress=on_progress,
            on_outcome=on_outcome,
        )
