"""`RequestRecord`: what `on_event` hears of one request."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from kallglot_async._events import Observer
from kallglot_async.models import RequestEvent, ResponseEvent

__all__ = ["RequestRecord"]


class RequestRecord:
    """Tells of one request: entered before it is sent, left after the last byte.

    Args:
        observer: Hears of it.
        what: The fields that both records have.

    Attributes:
        status: The status of the answer, once there is one; else that of the error which ends it.
        request_id: The server's id of the request, where it sent one; likewise.
    """

    __slots__ = ("_observer", "_started", "_what", "request_id", "status")

    def __init__(self, observer: Observer, **what: object) -> None:
        self._observer = observer
        self._what = what
        self.status: int | None = None
        self.request_id: str | None = None

    def __enter__(self) -> Self:
        self._observer.emit(RequestEvent, **self._what)
        self._started = asyncio.get_running_loop().time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status = self.status or getattr(error, "status", None) or None
        self.request_id = self.request_id or getattr(error, "request_id", None)
        self._observer.emit(
            ResponseEvent,
            **self._what,
            status=self.status,
            error=None if kind is None else kind.__name__,
            request_id=self.request_id,
            elapsed=asyncio.get_running_loop().time() - self._started,
        )
