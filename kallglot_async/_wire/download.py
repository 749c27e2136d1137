"""One download: the pipeline's way for a body that is too large to hold, and may go on after a lost connection.

Requests to the API take a slot of the limiter each and report their answers to it, as those of the pipeline
do. Requests to a pre-signed link carry no key and are none of the limiter's business.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

import anyio

from kallglot_async import errors
from kallglot_async._config import ClientConfig
from kallglot_async._core.api.answers import interpret
from kallglot_async._core.api.audio_link import Location, audio_location, moved_location
from kallglot_async._core.api.operation import Operation, Response
from kallglot_async._core.api.recordings import retrieve_recording
from kallglot_async._core.api.resuming import DOWNLOAD, Transfer
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.sink import Sink
from kallglot_async._wire.stream import AnswerStream
from kallglot_async.models import Download, Recording

__all__ = ["DownloadCall", "OnBytes"]

OnBytes = Callable[[int, int | None], object]

_log = logging.getLogger("kallglot_async.download")
_OPERATION = Operation(name=DOWNLOAD, method="GET", path="", group="recordings", decode=bytes)
_SILENCE = 60.0  # seconds without a byte that end an attempt, for a client that was asked to wait for ever
_LARGEST_REFUSAL = 65_536  # bytes that are read of an answer that is no success
# How storages refuse a link that has expired: it is asked for anew.
_EXPIRED = frozenset({400, 401, 403, 404, 410})


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
        self._history: list[str] = []
        self._is_link_fresh = False
        self._deadline = math.inf

    async def run(self, timeout: float | None) -> Download:
        """Fetch everything, within `timeout` seconds; None for as long as bytes keep coming.

        Raises:
            KallglotError: How the last attempt ended, with the history of all.
        """
        loop = asyncio.get_running_loop()
        if timeout is not None:
            self._deadline = loop.time() + timeout
        try:
            async with asyncio.timeout_at(None if timeout is None else self._deadline) as scope:
                await self._fetch()
                await self._sink.finish()
        except errors.RequestError:
            raise
        except TimeoutError:
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
        location: Location | None = None
        while True:
            location = location or await self._locate()
            ticket = await self._acquire() if location.is_api else None
            try:
                await self._attempt(location, ticket)
            except errors.RateLimitedError as refused:
                # Waited out, and not counted: the limiter holds the next slot back until the pause is over.
                if not location.is_api or (refused.retry_after or 0.0) > self._left():
                    raise self._told(refused) from None
            except errors.RequestError as error:
                if self._is_expired(location, error):
                    location = None
                    continue
                self._history.append(str(error))
                failures = len(self._history)
                delay = self._pipeline.policy.next_delay(_OPERATION, error, failures, within=self._left())
                if delay is None:
                    raise self._told(error) from None
                _log.debug("%s failed, next attempt in %.2f s: %s", DOWNLOAD, delay, error)
                await anyio.sleep(delay)
            else:
                self._pipeline.policy.on_success()
                return
            self._is_link_fresh = False

    async def _locate(self) -> Location:
        """Return where the audio is, which may take a retrieve."""
        recording, self._recording = self._recording, None
        if recording is None or recording.download_url is None:
            left = self._left()
            recording = await self._pipeline.run(
                retrieve_recording(self._id), timeout=None if math.isinf(left) else max(left, 0.001)
            )
            self._is_link_fresh = True
        return audio_location(recording, base_url=self._config.base_url, format=self._format)

    def _is_expired(self, location: Location, error: errors.RequestError) -> bool:
        """Whether a link that is not of this moment was refused, so that a new one is worth a request."""
        is_refused = isinstance(error, errors.APIError) and error.status in _EXPIRED
        return is_refused and not location.is_api and not self._is_link_fresh

    async def _acquire(self) -> Ticket:
        return await self._pipeline.acquire(self._lane, _OPERATION, self._left())

    async def _attempt(self, location: Location, ticket: Ticket | None) -> None:
        moved = await self._ask(location, ticket)
        if moved is not None:
            await self._ask(moved, None)

    async def _ask(self, location: Location, ticket: Ticket | None) -> Location | None:
        """Send one request and take what comes; return where it leads if it was redirected."""
        config = self._config
        try:
            async with self._pipeline.pool.stream(
                DOWNLOAD,
                location.url,
                key=config.api_key if location.is_api else None,
                ranges=self._transfer.next_ranges(),
                idle=config.timeout or _SILENCE,
            ) as answer:
                if ticket is not None:
                    # The limiter is told by the head: the body may take minutes, and says nothing of the limit.
                    self._pipeline.report(self._lane, ticket, Response(answer.status, answer.headers, b""), time.time())
                    ticket = None
                if 300 <= answer.status < 400:
                    target = answer.headers.get("Location", "")
                    return moved_location(location, target, base_url=config.base_url, status=answer.status)
                await self._take(location, answer)
        finally:
            if ticket is not None:
                self._lane.lost(ticket)
        return None

    async def _take(self, location: Location, answer: AnswerStream) -> None:
        transfer = self._transfer
        if answer.status == 416 and transfer.received:
            if transfer.on_nothing_left(answer.headers):
                return
            raise errors.ConnectionLostError(
                f"{DOWNLOAD} cannot go on where it was, and begins again", operation=DOWNLOAD
            )
        if not 200 <= answer.status < 300:
            await self._refuse(location, answer)
        if not transfer.on_head(answer.status, answer.headers):
            await self._sink.rewind()
        while await self._pass_on(answer):
            if self._on_bytes is not None:
                self._on_bytes(transfer.received, transfer.total)
        transfer.on_end()

    async def _pass_on(self, answer: AnswerStream) -> bool:
        """Move one piece into the sink; False at the end. On a frame of its own: a traceback may show locals."""
        piece = await answer.read()
        self._transfer.on_bytes(len(piece))
        await self._sink.write(piece)
        return bool(piece)

    async def _refuse(self, location: Location, answer: AnswerStream) -> None:
        """Raise what an answer stands for that is no success."""
        status = answer.status
        if location.is_api:
            response = Response(status, answer.headers, await _beginning_of(answer))
            interpret(_OPERATION, response, key=self._config.api_key, wall_now=time.time())
        # Not the API's own words: what a storage says of a link may quote it.
        kind: type[errors.APIError] = errors.APIError
        what = f"the storage answered {status}"
        if status >= 500:
            kind, what = errors.ServerError, f"the storage failed with {status}"
        elif status in {404, 410}:
            kind, what = errors.NotFoundError, "the audio is not there any more"
        elif status in {401, 403}:
            kind, what = errors.PermissionDeniedError, "the storage does not accept the link to the audio"
        raise kind(what, operation=DOWNLOAD, status=status)

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    def _told(self, error: errors.RequestError) -> errors.RequestError:
        error.attempts = len(self._history)
        error.history = tuple(self._history)
        return error


async def _beginning_of(answer: AnswerStream) -> bytes:
    """Return as much of a refusal as can be of use. Its status is the verdict: a lost body costs the words only."""
    body = b""
    try:
        while len(body) < _LARGEST_REFUSAL and (piece := await answer.read()):
            body += piece
    except errors.TransportError:
        pass
    return body
