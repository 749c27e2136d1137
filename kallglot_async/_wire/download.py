"""One download: the pipeline's way for a body that is too large to hold, and may go on after a lost connection.

Requests to the API take a slot of the limiter each and report their answers to it, as those of the pipeline
do. Requests to a pre-signed link carry no key and are none of the limiter's business. What an attempt brought is
kept, for the next one and by the sink also for the next process; how long to go on, `Endurance` says.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import anyio
from msgspec import structs

from kallglot_async import _clock, errors
from kallglot_async._config import ClientConfig
from kallglot_async._core.api.answers import interpret, parse_retry_after, request_id_of
from kallglot_async._core.api.audio_link import (
    Location,
    audio_location,
    is_expired_link,
    moved_location,
    storage_refusal,
)
from kallglot_async._core.api.endurance import Endurance
from kallglot_async._core.api.operation import Operation, Response
from kallglot_async._core.api.recordings import retrieve_recording
from kallglot_async._core.api.resuming import DOWNLOAD, Transfer, encode_part, size_of, usable_part
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._events import RequestRecord, check_told
from kallglot_async._extra_headers import Headers
from kallglot_async._wire.keys import load, renew
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.pool import SILENCE
from kallglot_async._wire.sink import Sink
from kallglot_async._wire.stream import AnswerStream
from kallglot_async.models import Download, Recording

__all__ = ["DownloadCall", "OnBytes"]

OnBytes = Callable[[int, int | None], object]

_OPERATION = Operation(name=DOWNLOAD, method="GET", path="", group="recordings", decode=bytes)
_NO_RANGE = frozenset({412, 416, 501})  # what refuses a part, and nothing else: the whole may well be had
_LARGEST_REFUSAL = 65_536  # bytes that are read of an answer that is no success


class DownloadCall:
    """Fetches the audio of one recording into a sink.

    Args:
        pipeline: The client's.
        config: The client's.
        source: The recording, or its id.
        sink: Takes the audio; opened and closed by the caller.
        format: The format that was asked for, or None.
        max_bytes: More is an error; None for any size.
        on_bytes: Called after each piece with the bytes so far and in all (None while unknown).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        config: ClientConfig,
        source: str | Recording,
        sink: Sink,
        *,
        format: str | None,
        max_bytes: int | None,
        on_bytes: OnBytes | None,
    ) -> None:
        self._pipeline = pipeline
        self._config = config
        self._id = source if isinstance(source, str) else source.id
        self._recording = source if isinstance(source, Recording) else None
        self._sink = sink
        self._format = format
        self._on_bytes = on_bytes
        self._lane = pipeline.lane(_OPERATION.group)
        self._transfer = Transfer(max_bytes)
        self._endurance = Endurance(config.max_attempts, pipeline.luck)
        self._is_link_fresh = self._is_key_fresh = False
        self._deadline = math.inf

    async def run(self, timeout: float | None) -> Download:
        """Fetch everything, within `timeout` seconds; None for as long as bytes keep coming.

        Raises:
            KallglotError: How the last attempt ended, with the history of all.
        """
        loop = _clock.running_loop()
        if timeout is not None:
            self._deadline = loop.time() + timeout
        try:
            async with asyncio.timeout_at(None if timeout is None else self._deadline) as scope:
                await self._fetch()
                await self._sink.finish()
        # Each of ours that is about time is a `TimeoutError`, too, and is to pass as it is.
        except errors.RequestError:
            raise
        except TimeoutError:
            # Somebody else's: of a file system on the network (ETIMEDOUT), or out of the caller's own callback.
            if not scope.expired():
                raise
            raise self._told(
                errors.RequestTimeoutError(
                    f"{DOWNLOAD} was not finished within {timeout:g} s", operation=DOWNLOAD, timeout=timeout
                )
            ) from None
        transfer = self._transfer
        return Download(
            id=self._id,
            path=self._sink.path,
            bytes_written=transfer.received,
            content_type=transfer.content_type,
            resumed=transfer.resumed,
            restarted=transfer.restarted,
        )

    async def _fetch(self) -> None:
        await self._look_for_kept()
        location: Location | None = None
        while True:
            # Kept over attempts: a link works for an hour, and another retrieve would cost a slot of the limit.
            location = location or await self._locate()
            used = await load(self._config.api_key) if location.is_api else None
            ticket = await self._pipeline.acquire(self._lane, _OPERATION, self._left()) if location.is_api else None
            try:
                await self._attempt(location, ticket)
            except _ThrottledError as throttled:
                # Waited out, and not counted: the limiter holds the next slot back until the pause is over.
                if (throttled.refusal.retry_after or 0.0) > self._left():
                    raise self._told(throttled.refusal) from None
            except errors.RequestError as error:
                # No failed attempt yet: a link that is not of this moment, as of a recording that was kept for hours.
                if is_expired_link(error) and not location.is_api and not self._is_link_fresh:
                    location = None
                    continue
                if isinstance(error, errors.AuthenticationError) and not self._is_key_fresh:
                    self._is_key_fresh = await renew(self._config.api_key, used)
                    if self._is_key_fresh:
                        continue
                await self._pause(error)
            else:
                self._pipeline.policy.on_success()
                return
            # There was a pause: link and key may be old again.
            self._is_link_fresh = self._is_key_fresh = False

    async def _look_for_kept(self) -> None:
        """Go on with what an earlier download left, or remove it."""
        if (kept := self._sink.kept) is None:
            return
        record, size = kept
        part = usable_part(record, size, recording=self._id, format=self._format)
        if part is None:
            await self._sink.begin(None)
        else:
            self._transfer.on_kept(part, size)

    async def _pause(self, error: errors.RequestError) -> None:
        """Sleep until the next attempt, or raise what ended the last one."""
        policy, left = self._pipeline.policy, self._left()
        attempt = len(self._endurance.history) + 1
        delay = self._endurance.next_delay(
            error,
            has_advanced=self._transfer.has_advanced(),
            within=left,
            otherwise=lambda failures: policy.next_delay(_OPERATION, error, failures, within=left),
        )
        if delay is None:
            raise self._told(error) from None
        self._pipeline.on_retry(_OPERATION, error, attempt, delay)
        await anyio.sleep(delay)

    async def _locate(self) -> Location:
        """Return where the audio is, which may take a retrieve."""
        # The one that was passed serves once: where its link is refused, a new one has to be asked for.
        recording, self._recording = self._recording, None
        if recording is None or recording.download_url is None:
            left = self._left()
            operation = structs.replace(retrieve_recording(self._id), headers=self._config.headers)
            recording = await self._pipeline.run(operation, timeout=None if math.isinf(left) else left)
            self._is_link_fresh = True
        self._transfer.expected = size_of(recording, self._format)
        return audio_location(recording, base_url=self._config.base_url, format=self._format)

    async def _attempt(self, location: Location, ticket: Ticket | None) -> None:
        moved: Location | None = location
        # Twice at most: `moved_location` follows no third. The slot is the first one's: the others are no requests to
        # the API.
        while moved is not None:
            moved, ticket = await self._ask(moved, ticket), None

    async def _ask(self, location: Location, ticket: Ticket | None) -> Location | None:
        """Send one request and take what comes; return where it leads if it was redirected."""
        record = RequestRecord(
            self._pipeline.observer,
            operation=DOWNLOAD,
            method="GET",
            path=location.path(self._config.base_url),
            attempt=len(self._endurance.history) + 1,
            url=location.shown,
        )
        try:
            with record:
                return await self._send(location, ticket, record)
        except errors.RateLimitedError as refused:
            if not location.is_api:
                raise
            self._pipeline.on_throttled(_OPERATION, self._lane)
            raise _ThrottledError(refused) from None

    async def _send(self, location: Location, ticket: Ticket | None, record: RequestRecord) -> Location | None:
        config = self._config
        try:
            async with self._pipeline.pool.stream(
                DOWNLOAD,
                location.url,
                key=config.api_key if location.is_api else None,
                # A storage is another host: neither the key nor the headers that the caller has for the API are for it.
                ranges=Headers({**(config.headers if location.is_api else {}), **self._transfer.next_ranges()}),
                idle=config.timeout or SILENCE,
            ) as answer:
                record.status, record.request_id = answer.status, request_id_of(answer.headers, config.api_key)
                # The limiter is told by the head of audio, whose body may take minutes, and by all of a refusal.
                is_refusal = location.is_api and answer.status >= 400
                # Bound to no name: a traceback may show locals.
                response = Response(answer.status, answer.headers, await _beginning_of(answer) if is_refusal else b"")
                if ticket is not None:
                    self._pipeline.report(self._lane, ticket, response, time.time())
                    # Told: whatever goes wrong from here on is the business of the download, and not of the limit.
                    ticket = None
                if 300 <= answer.status < 400:
                    target = answer.headers.get("Location", "")
                    return moved_location(location, target, base_url=config.base_url, status=answer.status)
                await self._take(location, answer, response)
        finally:
            if ticket is not None:
                # There was no answer to report: the server may have counted the request all the same.
                self._lane.lost(ticket)
        return None

    async def _take(self, location: Location, answer: AnswerStream, response: Response) -> None:
        transfer = self._transfer
        # All of it may be there already: a process can end between the last byte and the new name.
        if answer.status in _NO_RANGE and transfer.received:
            if transfer.on_nothing_left(answer.headers):
                return
            raise errors.ConnectionLostError(
                f"{DOWNLOAD} cannot go on where it was, and begins again", operation=DOWNLOAD
            )
        if not 200 <= answer.status < 300:
            self._refuse(location, response)
        if answer.status == 202:
            unready = errors.ResponseBodyError(f"{DOWNLOAD}: the audio is not made yet", operation=DOWNLOAD, status=202)
            unready.retry_after = parse_retry_after(answer.headers, wall_now=time.time())
            raise unready
        if not transfer.on_head(answer.status, answer.headers):
            part = transfer.kept_part(self._id, self._format)
            await self._sink.begin(None if part is None else encode_part(part))
        while await self._pass_on(answer):
            if self._on_bytes is not None:
                check_told("on_progress", self._on_bytes(transfer.received, transfer.announced))
        transfer.on_end()

    async def _pass_on(self, answer: AnswerStream) -> bool:
        """Move one piece into the sink; False at the end. On a frame of its own: a traceback may show locals."""
        piece = await answer.read()
        # Counted before it is written: what is more than allowed, or than announced, does not reach the sink.
        self._transfer.on_bytes(len(piece))
        await self._sink.write(piece)
        return bool(piece)

    def _refuse(self, location: Location, response: Response) -> None:
        """Raise what an answer stands for that is no success."""
        if location.is_api:
            interpret(_OPERATION, response, key=self._config.api_key, wall_now=time.time())
        raise storage_refusal(response.status, response.headers, operation=DOWNLOAD, wall_now=time.time())

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    def _told(self, error: errors.RequestError) -> errors.RequestError:
        error.attempts = len(self._endurance.history)
        error.history = tuple(self._endurance.history)
        return error


class _ThrottledError(Exception):
    """The API refused for rate. On its own, as a storage refuses with the same class and has no limiter."""

    def __init__(self, refusal: errors.RateLimitedError) -> None:
        self.refusal = refusal


async def _beginning_of(answer: AnswerStream) -> bytes:
    """Return as much of a refusal as can be of use. Its status is the verdict: a lost body costs the words only."""
    body = b""
    try:
        while len(body) < _LARGEST_REFUSAL and (piece := await answer.read()):
            body += piece
    except errors.TransportError:
        pass
    return body
