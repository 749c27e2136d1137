"""`client.analyses`: request analyses and fetch them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Unpack, overload

from kallglot_async._checks import check_callback
from kallglot_async._config import AS_CLIENT, Timeout
from kallglot_async._core.api.analyses import create_analysis, retrieve_analysis
from kallglot_async._extra_headers import check_headers
from kallglot_async._waiting.creator import Creator
from kallglot_async._waiting.waits import Ids, IdSource, OnOutcome, Waits
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, AnalysisRequestA, AnalysisRequestB, Outcomes

__all__ = ["Analyses"]


class Analyses:
    """Fetches and requests analyses. Reached as `client.analyses`.

    Both revisions of the API are served by the same calls: the id's prefix decides.
    """

    def __init__(self, pipeline: Pipeline, waits: Waits, creator: Creator) -> None:
        self._pipeline = pipeline
        self._waits = waits
        self._creator = creator

    async def retrieve(
        self, id: str, *, timeout: Timeout = AS_CLIENT, extra_headers: Mapping[str, str] | None = None
    ) -> Analysis:
        """Return the analysis as it stands now, settled or not: one GET, retried where that is safe.

        It goes ahead of polls at the limiter. Cancelling it sends nothing more and loses nothing. It costs
        no API credits.

        Args:
            id: The analysis id, `ana_...` or `anl_...`.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such analysis, or its results are older than 90 days.
            RateLimitedError: The rate limit leaves no time before the deadline.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = retrieve_analysis(id)
        if extra_headers is not None:
            operation = operation.with_headers(extra_headers)
        return await self._pipeline.run(operation, timeout=self._pipeline.seconds_of(timeout))

    async def retrieve_many(
        self,
        ids: Ids,
        *,
        timeout: Timeout = AS_CLIENT,
        max_in_flight: int | None = None,
        on_outcome: OnOutcome | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Outcomes:
        """Fetch many analyses as they stand now, concurrently, without waiting for any to settle.

        Spends what the rate limit's window holds at once, in turn with the polls of waits, and outlasts the
        windows it needs. A 401, 402 or 403 ends the batch early: the rest are reported with `NotAttemptedError`. It
        costs no API credits. A cancellation ends every request; what was fetched by then has been given to
        `on_outcome`, as far as that has kept up.

        Args:
            ids: Any iterable or asynchronous iterable. Each distinct id is fetched once.
            timeout: Seconds for each id, from the moment its first request may go. Default: the client's.
            max_in_flight: Requests at once; default: the client's.
            on_outcome: Called with each outcome the moment it is known, one at a time; a coroutine function is awaited,
                and so is room: no worker fetches on before its outcome was taken. What it raises ends the call.
            extra_headers: Headers besides those of the client, for each of the requests; as for `retrieve`.

        Returns:
            One outcome for each distinct id, in the order of the input. An impossible id has an `InvalidIdError`.

        Raises:
            ConfigurationError: An argument cannot be used; nothing was sent.
            IdSourceError: The iterable raised; the outcomes so far are on the error.
        """
        check_callback("on_outcome", on_outcome)
        workers = self._waits.at_once(max_in_flight)
        # Checked here, before anything is pulled from the ids.
        headers = None if extra_headers is None else check_headers("extra_headers", extra_headers)
        from kallglot_async._waiting.retrieve_many import RetrieveCall  # loaded when it is first used

        batch = RetrieveCall(
            self._pipeline, IdSource(ids, remember=True), self._pipeline.seconds_of(timeout), on_outcome, headers
        )
        return await batch.run(workers)

    @overload
    async def create(
        self,
        session_id: str,
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
        **request: Unpack[AnalysisRequestA],
    ) -> Analysis: ...
    @overload
    async def create(
        self,
        session_id: str,
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
        **request: Unpack[AnalysisRequestB],
    ) -> Analysis: ...
    async def create(
        self,
        session_id: str,
        *,
        analyses: Iterable[str] | None = None,
        language: str | None = None,
        webhook_url: str | None = None,
        custom_prompts: Mapping[str, str] | None = None,
        profile: str | None = None,
        include: Iterable[str] | None = None,
        idempotency_key: str | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Analysis:
        """Request the analysis of a finished session and return it as it was accepted.

        With `analyses`, revision A's body is sent; otherwise revision B's, which costs one API credit when
        it succeeds. An idempotency key is minted once for the call and sent with every attempt, so retries
        create nothing twice. Where the outcome stays unknown, the error carries that key: repeat the call
        with it. After a cancellation only a key of your own lets you do the same.

        While analyses that this client has requested are waited for by `wait` or `analyze`, and the rate limit is
        needed to see their ends, it waits for its turn; so it does while as many are being requested as could be waited
        for. Part of its time (5 s, or half of it) is kept for the answer.

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
            idempotency_key: Default: a new UUID; 4,000 characters at most.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            ConfigurationError: Fields of both revisions are mixed or impossible; nothing was sent.
            InsufficientCreditsError: No credits are left. Not retried.
            RateLimitedError: Its turn did not come in time; nothing was sent.
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
        seconds = self._pipeline.seconds_of(timeout)
        return await self._creator.create(operation.with_headers(extra_headers), timeout=seconds)
