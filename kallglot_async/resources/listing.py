"""Lists that come in pages: the items one by one, or the pages themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from kallglot_async import errors
from kallglot_async._core.ids import check_recording_id
from kallglot_async._core.neighbours import list_recordings
from kallglot_async._pipeline import Pipeline
from kallglot_async.models import Recording, RecordingPage

__all__ = ["RecordingList"]


class RecordingList:
    """The recordings of one session. Iterating it again asks the server again.

    With `ending_before` it goes backwards: the nearest page first, and the recordings of each in reverse.
    """

    __slots__ = ("_channel", "_limit", "_pipeline", "_session_id", "_start", "_timeout", "is_backwards")

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
    ) -> None:
        self._pipeline = pipeline
        self._session_id = session_id
        self._channel = channel
        self._limit = limit
        self._timeout = timeout
        self.is_backwards = ending_before is not None
        self._start = ending_before if self.is_backwards else starting_after
        # Made once for its checks: what cannot be asked for is refused here, not at the first page.
        list_recordings(
            session_id, channel=channel, limit=limit, starting_after=starting_after, ending_before=ending_before
        )

    def __repr__(self) -> str:
        return f"<RecordingList of {self._session_id}>"

    async def __aiter__(self) -> AsyncIterator[Recording]:
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                for recording in reversed(page.data) if self.is_backwards else page.data:
                    yield recording

    def pages(self) -> AsyncIterator[RecordingPage]:
        """Go through the pages as the server sends them, one request for each."""
        return self._pages()

    async def _pages(self) -> AsyncGenerator[RecordingPage, None]:
        cursor = self._start
        used: set[str | None] = set()
        while True:
            page = await self._page(cursor)
            used.add(cursor)
            is_last = not page.has_more or not page.data
            if not is_last:
                cursor = page.data[0 if self.is_backwards else -1].id
                if cursor in used:  # it does not know the parameter, and would send this page for ever
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

    async def _page(self, cursor: str | None) -> RecordingPage:
        operation = list_recordings(
            self._session_id,
            channel=self._channel,
            limit=self._limit,
            starting_after=None if self.is_backwards else cursor,
            ending_before=cursor if self.is_backwards else None,
        )
        return await self._pipeline.run(operation, timeout=self._timeout)


def _is_recording_id(value: object) -> bool:
    try:
        check_recording_id(value)
    except errors.InvalidIdError:
        return False
    return True
