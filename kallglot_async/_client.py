"""`KallglotClient`: composition and lifetime, no logic of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Unpack, overload

import kallglot_async
from kallglot_async._base_client import BaseClient
from kallglot_async._checks import check_callback, check_plain_callback, check_session_id
from kallglot_async._core.api.analyses import check_analysis_id, check_request, create_analysis
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._waiting.call import OnProgress, WaitCall
from kallglot_async._waiting.waits import MAX_READY, Ids, IdSource, OnCreated, OnOutcome
from kallglot_async.errors import RequestError
from kallglot_async.models import (
    Analysis,
    AnalysisRequestA,
    AnalysisRequestB,
    Outcome,
    Outcomes,
)
from kallglot_async.models.requests import Kind

__all__ = ["KallglotClient", "wait_many"]


class KallglotClient(BaseClient):
    """A client of the Kallglot API: one pool of connections, one rate limiter, and one model of how long analyses take.

    Each wait has a queue of its own, in which that model says which id is worth the next request; the limiter says
    whose request goes next.

    Use it as an async context manager, or call `aclose` when done. It may be used in one event loop after
    another (three `asyncio.run` in turn), and after `aclose` again: connections open as they are needed. It serves
    one loop at a time: while that runs, a call from another thread is refused with a `ConfigurationError`, before
    anything is sent, until the client is closed where it was used.

    Args:
        api_key: `sk_live_...` or `sk_test_...`, or a function, plain or a coroutine function, that is asked for it: at
            first use, and again where a request is answered 401, which is then sent once more if the key has
            changed. Default: the environment's `KALLGLOT_API_KEY`.
        base_url: Default: the environment's `KALLGLOT_BASE_URL`, else `https://api.kallglot.com/v1`. Must be
            https, except on loopback.
        timeout: Seconds for one direct call with everything it needs, for one poll of a wait, and for one attempt at a
            request of `analyze` or `analyze_many`. Default 30. None: a poll and such an attempt have 60 s; a direct
            call may take for ever, but an attempt that gets no byte for 60 s is over, as where a call is given None.
        max_attempts: Requests for one call at most, the first included. Default 3. Retried are connection
            failures, 408, 421, 425, 499, 5xx but 501, 505 and 511, `idempotency_conflict`, answers cut short, and a
            400, 401, 403 or 404 that does not look like the API's; if the request is a GET or has an idempotency key.
            A refusal for rate is waited out and not counted; nor, unless this is 1, is `idempotency_conflict`. In a
            wait, time and not attempts is the measure.
        rate_limit: A ceiling on top of what the server allows, or a `RateLimiter` to share with other clients, or a
            `shared.SharedRateLimiter` to share with other processes. Where the environment's `KALLGLOT_RATE_LIMIT_URL`
            names a Redis server, the client has one of those unless it is given a limiter.
        max_connections: Open connections at most, for each event loop. Default 100.
        max_in_flight: Requests of one batch at once; of `analyze_many` as many polls, and besides as many requests for
            analyses, of which 16 are the most. Default 64.
        max_response_bytes: A larger body, after decompression, is an error; audio is not meant. Default 16 MiB.
        max_rate_wait: Seconds that a direct call may queue for the rate limit before it fails with
            `RateLimitedError`; None (the default): as long as its timeout. A request for an analysis may wait as long
            for its turn (see `analyses.create`), and then for the limit.
        connect_timeout: Seconds for the look-up of the name, and again for connecting, TLS included; through a proxy
            for both. Default 10.
        trust_env: Whether proxies are taken from the environment. Default False.
        keep_raw: Whether a value keeps the body that it came from, as `raw`, and with it what no field takes, as
            `extra`. Default True; it costs the bytes of the bodies for as long as the values are held.
        default_headers: Headers that are sent to the API besides ours; never `Authorization`, which is the key's.
        user_agent_suffix: What follows the library's name in `User-Agent`, for example `my-app/1.2`.
        session: A session of yours to use instead of the pool, with its own limit of connections, proxies,
            certificates and middlewares (which stay around ours). It is never closed here. What must not see your
            headers and cookies, such as a pre-signed link, is fetched on connections of the client's own all the same.
        download_session: A session of yours for just that, where the storage that pre-signed links lead to is behind a
            proxy or a private CA, too. Its own headers and cookies go there.
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

    # -- many requests: wait for analyses, or request them and wait

    async def wait(
        self,
        id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Analysis:
        """Wait until the analysis has settled and return it.

        Polls pass the shared limiter; two waits for the same id are one poller. Failed polls are retried at
        later polls. A poll costs no API credits. Cancelling it ends its polling; other waits go on.

        Args:
            id: The analysis id.
            timeout: Seconds for the whole wait, the queue at the limiter included; None for ever. Default
                120. The last poll is timed so that its answer arrives before.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            extra_headers: Headers besides those of the client, which they win over; never the key's. Where another wait
                polls the same id already, its own are sent.

        Raises:
            InvalidIdError: Before any I/O.
            AnalysisFailedError: It ended `failed`; it is on the error.
            WaitTimeoutError: Still pending at the deadline.
            KallglotError: A poll failed in a way that waiting cannot mend; see `errors`.
        """
        # By a view: its settings are what polls are sent with.
        if extra_headers is not None:
            return await self.with_options(extra_headers=extra_headers).wait(id, timeout=timeout, schedule=schedule)
        # From the call on: who waits for one analysis counts from when they asked, and no queue of ids is before it.
        options = self._waits.options(timeout, None, None, schedule, from_add=True)
        return (await self._waits.of_one(check_analysis_id(id), options)).unwrap()

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
        extra_headers: Mapping[str, str] | None = None,
    ) -> Outcomes:
        """Wait until all analyses have settled, and return what became of each.

        What the client has learned of analyses decides which id is worth the next request, and its one limiter when
        it may go; a failure of one id never costs another. A 401, 402 or 403 ends the batch: the rest are reported with
        `NotAttemptedError`. Polls cost no API credits. A cancellation ends every request; what had settled
        by then has been given to `on_outcome`, as far as that has kept up.

        Args:
            ids: Any iterable or asynchronous iterable, pulled as there is room. Repetitions are one wait.
            timeout: Seconds for each id, from its first poll; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever. What has settled by then
                is returned, the rest with `WaitTimeoutError`; what an asynchronous iterable has not given by then has
                no outcome. A plain one is gone through to its end, so one without an end has to be asynchronous.
            max_in_flight: Requests at once; default: the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_progress: Called with a snapshot whenever a poll has ended, with an answer or without one. A plain
                function; if it raises, that is logged and it is not called again.
            on_outcome: Called with each outcome as it is known, one at a time; a coroutine function is awaited, and
                polling pauses where it is 1,000 outcomes behind. What it raises ends the call.
            extra_headers: As for `wait`.

        Returns:
            One outcome for each distinct id, in the order of the input. An impossible id has an `InvalidIdError`.

        Raises:
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        check_callback("on_outcome", on_outcome)
        options = self._waits.options(timeout, total_timeout, max_in_flight, schedule, on_progress=on_progress)
        waits = self._waits if extra_headers is None else self.with_options(extra_headers=extra_headers)._waits
        return await waits.collect(IdSource(ids, remember=True), options, on_outcome)

    @overload
    async def analyze(
        self,
        session_id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        idempotency_key: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
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
        extra_headers: Mapping[str, str] | None = None,
        **request: Unpack[AnalysisRequestB],
    ) -> Analysis: ...
    async def analyze(
        self,
        session_id: str,
        *,
        timeout: float | None = 120.0,
        schedule: PollSchedule | None = None,
        idempotency_key: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Analysis:
        """Request the analysis of a finished session, wait until it has settled, and return it.

        `analyses.create` and `wait` in one, and in revision B the same API credit; what the answer to the request shows
        as settled, with its results, is not polled. Once the API was heard, time and not attempts ends the request too:
        it is repeated, under one idempotency key, for as long as the wait may take, or for the seconds of the client's
        own timeout where those are more. If the wait runs out of time, the error's `id` names the analysis: wait for
        that, rather than pay for another. Where more are under way than the rate limit can look after, it waits for its
        turn before it requests anything, within the same time.

        Args:
            session_id: The session, `sess_...`.
            timeout: Seconds for the wait, which begins once the request was accepted; None for ever. Default 120.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            idempotency_key: Default: a new UUID; 4,000 characters at most. With a key of your own the call can be
                repeated, after a crash too.
            extra_headers: Headers besides those of the client, for the request and the wait.
            request: What is asked for, as in `analyses.create`.

        Raises:
            AnalysisFailedError: It ended `failed`; it is on the error.
            WaitTimeoutError: Still pending at the deadline.
            RateLimitedError: Its turn did not come within that time, or within `max_rate_wait`; nothing was sent.
            KallglotError: See `analyses.create` and `wait`.
        """
        # Refused before anything is paid for.
        options = self._waits.options(timeout, None, None, schedule, from_add=True)
        check_request("analyze", request)
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        operation = create_analysis(session_id, idempotency_key=key, **request)
        client = self if extra_headers is None else self.with_options(extra_headers=extra_headers)
        created = await client._creator.create(
            operation, timeout=self._patience(timeout), lasts=timeout, is_patient=True
        )
        check_analysis_id(created.id)
        outcome = client._waits.outcome_of(created) or await client._waits.of_one(created.id, options)
        if isinstance(outcome.error, RequestError):
            outcome.error.id = created.id
        return outcome.unwrap()

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
        extra_headers: Mapping[str, str] | None = None,
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
        extra_headers: Mapping[str, str] | None = None,
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
        extra_headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Outcomes:
        """Request the analyses of many sessions and wait for all, under one rate limit.

        As many are under way at once as the rate allows to look after. A 402 stops the requests, and what is paid
        for is waited for; a 401 or 403 ends the batch. One failure never costs a sibling. Revision B costs an API
        credit for each request that succeeds. A cancellation ends everything; with a `batch` name the call can be
        made again, and creates nothing twice for about 24 hours. What the answer to a request shows as settled, with
        its results, is not polled.

        Args:
            session_ids: Any iterable or asynchronous iterable, pulled as there is room. Repetitions are one.
            batch: A name for this batch (2,000 characters at most), from which each session's idempotency key
                is made. Default: new keys.
            timeout: Seconds for each analysis, from its first poll, and for the request of one with its retries, which
                has no less than the seconds of the client's timeout; None for ever. Default 120.
            total_timeout: Seconds for the whole call; None (the default) for ever. What a lazy iterable has not given
                by then has no outcome. What is being told then, or is in line for it, is told to its end, for 30 s at
                most.
            max_in_flight: Polls at once, and besides as many requests for analyses, but 16 of those at most; default:
                the client's.
            schedule: How polls follow each other. Default: learned from earlier analyses.
            on_outcome: Called with each outcome the moment it is known, one at a time; a coroutine function is awaited,
                and what it has not taken counts as under way. What it raises ends the call.
            on_created: Called with a session's id and its analysis as it was accepted, before that is polled; as for
                `on_outcome`. Whoever keeps the id can wait for it again, whatever happens to this process. It is
                also told of what was being requested as `total_timeout` ended, if the answer comes within 5 s more.
            on_progress: Called with a snapshot whenever a request, for an analysis or of one, has ended, and with each
                outcome of what was requested. A plain function; if it raises, that is logged and it is not called
                again.
            extra_headers: As for `analyze`.
            request: What is asked for of each session, as in `analyses.create`.

        Returns:
            One outcome for each distinct session, in the order of the input; its `id` is the session's. What is no id
            of a session has an `InvalidIdError`. Where an analysis was created but not waited for to its end, the
            error's `id` names it.

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
        client = self if extra_headers is None else self.with_options(extra_headers=extra_headers)
        sessions = Batch(client._pipeline, source, on_outcome, noun="sessions")
        call = AnalyzeCall(
            sessions,
            client._waits,
            client._creator,
            order=order,
            timeout=self._patience(timeout),
            on_created=on_created,
            on_progress=on_progress,
        )
        return await call.run(options)

    def _patience(self, timeout: float | None) -> float | None:
        """Seconds for a request that a wait of so many seconds follows."""
        # A client's that is for ever bounds nothing: an outage without an end would have the request repeated so long.
        return None if timeout is None else max(timeout, self._config.timeout or 0.0)

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
        extra_headers: Mapping[str, str] | None = None,
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
                same, and what another call waits for too, that one polls meanwhile. Default 1,000.
            extra_headers: As for `wait`.

        Raises:
            ConfigurationError: An argument cannot be used; nothing was sent.
            IdSourceError: From the loop over the outcomes, once it has given all of them: the iterable raised.
        """
        options = self._waits.options(
            timeout, total_timeout, max_in_flight, schedule, on_progress=on_progress, max_ready=max_ready
        )
        waits = self._waits if extra_headers is None else self.with_options(extra_headers=extra_headers)._waits
        return waits.start(IdSource(ids, remember=False), options)

    @overload
    def open_batch(
        self, path: str | os.PathLike[str], *, kind: Kind | None = None, **request: Unpack[AnalysisRequestA]
    ) -> kallglot_async.DurableBatch: ...
    @overload
    def open_batch(
        self, path: str | os.PathLike[str], *, kind: Kind | None = None, **request: Unpack[AnalysisRequestB]
    ) -> kallglot_async.DurableBatch: ...
    def open_batch(
        self, path: str | os.PathLike[str], *, kind: Kind | None = None, **request: Any
    ) -> kallglot_async.DurableBatch:
        """Return a batch in a file, which goes on after whatever ended it: a crash, a kill, a loss of power.

            async with client.open_batch("nightly.kallglot") as batch:
                await batch.add(ids)
                report = await batch.run()

        The file (SQLite) is journal and result in one: `outcomes` and `export` read it, also in another process
        (`BatchFile`). It holds call text, and only its owner may read it (mode 0600). Put it on a local disk. What it
        is for is decided when it is made.

        Args:
            path: The file. Where there is none, it is made when the block is entered.
            kind: What is done with the ids: `wait` waits for analyses as `wait_many` does, `retrieve` fetches them as
                they stand, `analyze` requests those of sessions as `analyze_many` does. Default: that of the file; for
                a new one `analyze` where something is requested, else `wait`.
            request: What is asked for of each session, as in `analyses.create`. Default: that of the file.

        Raises:
            ConfigurationError: The kind or the request cannot be used. On entering: the file is for another one.
            BatchInUseError: On entering: another run writes to the file.
            BatchFileError: On entering: the file cannot be used.
        """
        from kallglot_async._durable.batch import DurableBatch
        from kallglot_async._durable.identity import Wish

        return DurableBatch(self, path, Wish.of(kind, request))


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
