"""`client.sessions`: the calls that analyses are about, with their transcripts and recordings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Literal

from kallglot_async._config import AS_CLIENT, Timeout
from kallglot_async._core.api.sessions import (
    end_session,
    retrieve_session,
    retrieve_transcript,
    retrieve_transcript_text,
)
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Session, Transcript
from kallglot_async.resources.recordings import RecordingList

__all__ = ["Sessions"]


class Sessions:
    """Fetches and ends sessions, and fetches what belongs to them. Reached as `client.sessions`.

    Both revisions of the API are served by the same calls. A session id does not tell its revision, the answer
    does. None of these calls costs API credits; reading and ending have rate limits of their own.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def retrieve(
        self, id: str, *, timeout: Timeout = AS_CLIENT, extra_headers: Mapping[str, str] | None = None
    ) -> Session:
        """Return the session as it stands now: one GET, retried where that is safe.

        Args:
            id: The session id, `sess_...`.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such session.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = retrieve_session(id).with_headers(extra_headers)
        return await self._pipeline.run(operation, timeout=self._pipeline.seconds_of(timeout))

    async def end(
        self,
        id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Session:
        """End the session and return it. Ending one that has ended returns it as it is.

        An idempotency key is minted once for the call and sent with every attempt. Revision B answers with a
        summary: identity, `duration` and `ended_at`. After a cancellation it is unknown whether the session
        was ended; end it again.

        Args:
            id: The session id.
            reason: Revision A: `completed` (the API's default), `customer_hangup`, `agent_hangup`, `error` or
                `timeout`; see `models.EndReason`.
            idempotency_key: Default: a new UUID; 4,000 characters at most.
            timeout: Seconds for the whole call; None for ever. Default: the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            ConfigurationError: The reason or the key cannot be sent. Nothing was.
            InvalidIdError: Before any I/O.
            KallglotError: Any other way it can fail; see `errors`.
        """
        # Ending twice does no harm, yet a POST without a key would not be retried after a lost connection.
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        operation = end_session(id, idempotency_key=key, reason=reason).with_headers(extra_headers)
        return await self._pipeline.run(operation, timeout=self._pipeline.seconds_of(timeout))

    async def transcript(
        self,
        id: str,
        *,
        include_translations: bool | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Transcript:
        """Return what was said so far, with `lines` that read the same in both revisions: one GET, retried if need be.

        Args:
            id: The session id.
            include_translations: Revision A: whether segments carry translations; the API's default is True.
            timeout: Seconds for the whole call; None for ever. Default: the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such session, or no transcript of it.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = retrieve_transcript(id, include_translations=include_translations).with_headers(extra_headers)
        return await self._pipeline.run(operation, timeout=self._pipeline.seconds_of(timeout))

    async def transcript_text(
        self,
        id: str,
        *,
        format: Literal["text", "srt", "vtt"] = "text",
        include_translations: bool | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> str:
        """Return the transcript as plain text or as subtitles, as the server writes it (revision A): one GET too.

        Args:
            id: The session id.
            format: `text`, `srt` or `vtt`.
            include_translations: Whether it carries translations; the API's default is True.
            timeout: Seconds for the whole call; None for ever. Default: the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            ConfigurationError: There is no such format. Nothing was sent.
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such session, or no transcript of it.
            ResponseSchemaError: The session speaks revision B, which has JSON only: use `transcript`.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = retrieve_transcript_text(id, format=format, include_translations=include_translations)
        return await self._pipeline.run(
            operation.with_headers(extra_headers), timeout=self._pipeline.seconds_of(timeout)
        )

    def recordings(
        self,
        id: str,
        *,
        channel: str | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        timeout: Timeout = AS_CLIENT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> RecordingList:
        """Return the session's recordings, to go through one by one or in pages.

            async for recording in client.sessions.recordings("sess_01HXYZ123456789"):
                ...

        Nothing is sent before the first one is asked for, and a page only when the one before it is used up. Each is
        one GET, retried where that is safe, and how that fails is raised from the loop.

        Args:
            id: The session id.
            channel: Revision A: `agent`, `customer` or `mixed` only.
            limit: Recordings in a page, 1 to 100; the API's default is 20.
            starting_after: A recording id: begin behind it.
            ending_before: A recording id: begin before it and go backwards.
            timeout: Seconds for each page; None for ever. Default: the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            InvalidIdError: It is not the id of a session, or a cursor not that of a recording.
            ConfigurationError: A parameter is out of range, or both cursors are given.
        """
        return RecordingList(
            self._pipeline,
            id,
            channel=channel,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            timeout=self._pipeline.seconds_of(timeout),
            extra_headers=extra_headers,
        )
