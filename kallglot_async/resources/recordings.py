"""`client.recordings`: what is known of a recording, and its audio."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial

from msgspec import structs

from kallglot_async import errors
from kallglot_async._checks import check_count, check_plain_callback, check_recording_id, check_timeout, shown
from kallglot_async._config import AS_CLIENT, ClientConfig, Timeout
from kallglot_async._core.api.audio_link import FORMATS
from kallglot_async._core.api.recordings import list_recordings, retrieve_recording
from kallglot_async._extra_headers import check_headers
from kallglot_async._wire.download import DownloadCall, OnBytes
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.sink import BinaryWriter, sink_for
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Download, Recording, RecordingPage

__all__ = ["RecordingList", "Recordings"]


class Recordings:
    """Fetches recordings. Reached as `client.recordings`; `client.sessions.recordings` lists them.

    Both revisions of the API are served by the same calls: the recording itself says where its audio is. None of these
    calls costs API credits.
    """

    def __init__(self, pipeline: Pipeline, config: ClientConfig) -> None:
        self._pipeline = pipeline
        self._config = config

    async def retrieve(
        self, id: str, *, timeout: Timeout = AS_CLIENT, extra_headers: Mapping[str, str] | None = None
    ) -> Recording:
        """Return the recording as it stands now: one GET, retried where that is safe.

        Args:
            id: The recording id, `rec_...`.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.
            extra_headers: Headers besides those of the client, which they win over; never the key's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such recording, or it has been deleted.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = retrieve_recording(id).with_headers(extra_headers)
        return await self._pipeline.run(operation, timeout=self._pipeline.seconds_of(timeout))

    async def download(
        self,
        recording: Recording | str,
        to: str | os.PathLike[str] | BinaryWriter,
        *,
        format: str | None = None,
        on_progress: OnBytes | None = None,
        overwrite: bool = False,
        max_bytes: int | None = None,
        timeout: float | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Download:
        """Fetch the audio of a recording into a file or a file object, and return how that went.

        The body is never held in memory. A file appears under its name once it is whole, and whole is at least as
        large as the recording is said to be. The key is sent to the API alone: a pre-signed link, and the redirects
        that lead to it (one of the API's, one of the storage's), is fetched without it. An expired link is asked for
        anew.

        A connection that is lost counts as an attempt, of `max_attempts` in a row. One that brought bytes is the
        first of a new count, and the next one takes nothing from the retry budget. That one goes on where the last
        stopped if the server offers that (`Accept-Ranges` and a strong `ETag` or `Last-Modified`), and begins again
        if not. A 429, 503 or 202 with `Retry-After` is no attempt: it is waited out, up to an hour of such pauses
        without a byte, or raised at once where it outlasts `timeout`.

        What came of a file is kept after a failure or a cancellation, too, if a server offered to go on: as
        `NAME.part`, with what it is of in `NAME.part.json` beside it (never the link). A NAME of more than some 245
        bytes is shortened for them. The next download of the same recording to the same path, by this process or
        another one, goes on with it; one of anything else removes it, and so does an answer that says that the
        recording has changed, is gone or too large. A process that is ended by a signal leaves these two and nothing
        else. One download at a time may write to a path.

        Args:
            recording: The recording, or its id, which costs one request more to find out where the audio is.
            to: A path, in a directory that exists, or a file object that takes bytes, which is written from
                where it stands and has to be able to seek if the audio must begin again. Its methods are awaited
                where they can be, as those of anyio's and aiofiles' files; others block the event loop.
            format: Revision A: `mp3`, `wav` or `ogg`. Default: as it is.
            on_progress: Called after each piece with the bytes so far and, as far as known, in all. What it
                raises ends the download.
            overwrite: Whether an existing file is replaced, at the end and in one step, or, where it is a mount of its
                own, written over. The new one has the permissions of the old one, and where the path is a symbolic
                link, its target is replaced. Only regular files are: a FIFO, a device, a directory or what is open
                already, such as `/dev/stdout`, is refused before any request.
            max_bytes: More is an error; None (the default) for any size.
            timeout: Seconds for everything. Default None: as long as bytes keep coming; an attempt that gets
                none for as long as the client's timeout (60 s where that is None, or where the audio is has to be found
                out) is over.
            extra_headers: Headers besides those of the client; the API gets them, a storage does not.

        Raises:
            ConfigurationError: Before any I/O, or: the recording does not come in that format.
            FileExistsError: There is such a file, also where somebody makes one meanwhile; or something that is no
                regular file; or another download to it is under way.
            OSError: The file cannot be written; `filename` names it, also where the disk is full.
            InvalidResponseError: There is no audio (yet), or what came is none.
            ResponseTooLargeError: It is larger than `max_bytes`.
            UnexpectedRedirectError: A redirect leads where it must not, for example to an unencrypted host.
            KallglotError: Any other way it can fail; see `errors`.
        """
        id = check_recording_id(recording.id if isinstance(recording, Recording) else recording)
        if format is not None:
            if format not in FORMATS:
                raise ConfigurationError(f"format is one of {', '.join(FORMATS)}, not {shown(format, 40)}")
            # Plain, as `check_text` has it: it is sent, and stored beside what has come of the audio.
            format = str.__str__(format)
        seconds = check_timeout("timeout", timeout)
        check_plain_callback("on_progress", on_progress)
        cap = None if max_bytes is None else check_count("max_bytes", max_bytes)
        config = self._config.with_headers(extra_headers)
        # After all checks: entering it makes a file.
        with sink_for(to, overwrite=overwrite) as sink:
            call = DownloadCall(
                self._pipeline,
                config,
                recording if isinstance(recording, Recording) else id,
                sink,
                format=format,
                max_bytes=cap,
                on_bytes=on_progress,
            )
            return await call.run(seconds)


class RecordingList:
    """The recordings of one session, each once, also where pages overlap. Iterating it again asks the server again.

    With `ending_before` it goes backwards: the nearest page first, and the recordings of each in reverse.
    """

    __slots__ = ("_ask", "_headers", "_pipeline", "_session_id", "_start", "_timeout", "is_backwards")

    def __init__(
        self,
        pipeline: Pipeline,
        session_id: str,
        *,
        channel: str | None,
        limit: int | None,
        starting_after: str | None,
        ending_before: str | None,
        timeout: float | None,
        extra_headers: Mapping[str, str] | None,
    ) -> None:
        self._pipeline = pipeline
        self._session_id = session_id
        self._timeout = timeout
        self.is_backwards: bool = ending_before is not None
        self._start = ending_before if self.is_backwards else starting_after
        self._ask = partial(list_recordings, session_id, channel=channel, limit=limit)
        self._headers = check_headers("extra_headers", extra_headers)
        # Made once for its checks: what cannot be asked for is refused here, not at the first page.
        self._ask(starting_after=starting_after, ending_before=ending_before)

    def __repr__(self) -> str:
        return f"<RecordingList of {self._session_id}>"

    async def __aiter__(self) -> AsyncIterator[Recording]:
        # Pages overlap where a list grows meanwhile, or where a cursor's own item is on the next page too.
        told: set[str] = set()
        # Closed with the loop that is left early, not by the garbage collector at some later moment.
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                for recording in reversed(page.data) if self.is_backwards else page.data:
                    if recording.id not in told:
                        told.add(recording.id)
                        yield recording

    def pages(self) -> AsyncIterator[RecordingPage]:
        """Go through the pages as the server sends them, one request for each."""
        return self._pages()

    async def _pages(self) -> AsyncGenerator[RecordingPage, None]:
        cursor = self._start
        used: set[str | None] = set()
        while True:
            asked = self._ask(ending_before=cursor) if self.is_backwards else self._ask(starting_after=cursor)
            asked = structs.replace(asked, headers=self._headers)
            page = await self._pipeline.run(asked, timeout=self._timeout)
            # All of them: a server may also send us round in a longer circle.
            used.add(cursor)
            is_last = not page.has_more or not page.data
            if not is_last:
                cursor = page.data[0 if self.is_backwards else -1].id
                # Else it does not know the parameter, and would send this page for ever.
                if cursor in used:
                    raise self._unusable("the same page again, although there are more")
            yield page
            if is_last:
                return
            if not _is_recording_id(cursor):
                raise self._unusable("more pages, but its last item has no id that could ask for the next")

    def _unusable(self, what: str) -> errors.InvalidResponseError:
        return errors.InvalidResponseError(
            f"sessions.recordings was answered with {what}", operation="sessions.recordings", status=200
        )


def _is_recording_id(value: object) -> bool:
    try:
        check_recording_id(value)
    except errors.InvalidIdError:
        return False
    return True
