"""`client.recordings`: what is known of a recording, and its audio."""

from __future__ import annotations

import os

from kallglot_async._checks import shown
from kallglot_async._config import ClientConfig, check_count, check_seconds
from kallglot_async._core.ids import check_recording_id
from kallglot_async._core.locations import FORMATS
from kallglot_async._core.neighbours import retrieve_recording
from kallglot_async._download import DownloadCall, OnBytes
from kallglot_async._files import BinaryWriter, sink_for
from kallglot_async._pipeline import Pipeline
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Download, Recording
from kallglot_async.resources.timeouts import CLIENT_TIMEOUT, Timeout, seconds_of

__all__ = ["Recordings"]


class Recordings:
    """Fetches recordings. Reached as `client.recordings`; `client.sessions.recordings` lists them.

    Both revisions of the API are served by the same calls: the recording itself says where its audio is.
    """

    __slots__ = ("_config", "_pipeline")

    def __init__(self, pipeline: Pipeline, config: ClientConfig) -> None:
        self._pipeline = pipeline
        self._config = config

    async def retrieve(self, id: str, *, timeout: Timeout = CLIENT_TIMEOUT) -> Recording:
        """Return the recording as it stands now: one GET, retried where that is safe.

        Args:
            id: The recording id, `rec_...`.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.

        Raises:
            InvalidIdError: Before any I/O.
            NotFoundError: There is no such recording, or it has been deleted.
            KallglotError: Any other way it can fail; see `errors`.
        """
        return await self._pipeline.run(retrieve_recording(id), timeout=seconds_of(timeout, self._config.timeout))

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
    ) -> Download:
        """Fetch the audio of a recording into a file or a file object, and return how that went.

        The body is never held in memory. A file appears under its name once it is whole; after a failure or a
        cancellation there is nothing. A connection that is lost counts as an attempt, of `max_attempts` in
        all: the next one goes on where it stopped if the server offers that, and begins again if not. The key
        is sent to the API alone: a pre-signed link, and the one redirect that leads to it, is fetched without
        it. An expired link is asked for anew.

        Args:
            recording: The recording, or its id, which costs one request more to find out where the audio is.
            to: A path, in a directory that exists, or a file object that takes bytes, which is written from
                where it stands and has to be able to seek if the audio must begin again.
            format: Revision A: `mp3`, `wav` or `ogg`. Default: as it is.
            on_progress: Called after each piece with the bytes so far and, as far as known, in all. What it
                raises ends the download.
            overwrite: Whether an existing file is replaced.
            max_bytes: More is an error; None (the default) for any size.
            timeout: Seconds for everything. Default None: as long as bytes keep coming; an attempt that gets
                none for as long as the client's timeout is over.

        Raises:
            ConfigurationError: Before any I/O, or: the recording does not come in that format.
            FileExistsError: There is such a file; also where somebody makes one meanwhile.
            OSError: The file cannot be written.
            InvalidResponseError: There is no audio (yet), or what came is none.
            ResponseTooLargeError: It is larger than `max_bytes`.
            UnexpectedRedirectError: A redirect leads where it must not, for example to an unencrypted host.
            KallglotError: Any other way it can fail; see `errors`.
        """
        check_recording_id(recording.id if isinstance(recording, Recording) else recording)
        if format is not None and format not in FORMATS:
            raise ConfigurationError(f"format is one of {', '.join(FORMATS)}, not {shown(format, 40)}")
        seconds = None if timeout is None else check_seconds("timeout", timeout)
        cap = None if max_bytes is None else check_count("max_bytes", max_bytes)
        with sink_for(to, overwrite=overwrite) as sink:
            call = DownloadCall(
                self._pipeline, self._config, recording, sink, format=format, max_bytes=cap, on_bytes=on_progress
            )
            return await call.run(seconds)
