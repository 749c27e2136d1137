"""`Observer`: tells the caller's `on_event` what a client does, and survives what that raises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kallglot_async.models import ClientEvent, RequestEvent, ResponseEvent

__all__ = ["Observer", "OnEvent", "RequestRecord"]

OnEvent = Callable[[ClientEvent], object]
_log = logging.getLogger("kallglot_async.events")


class Observer:
    """Passes on records, in the order in which things happen. Without a callback it costs one comparison.

    Args:
        on_event: The caller's; if it raises, that is logged once and it is not called again.
    """

    __slots__ = ("_on_event",)

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event

    @property
    def is_on(self) -> bool:
        """Whether anybody listens, so that a record is worth making."""
        return self._on_event is not None

    def emit(self, kind: Callable[..., ClientEvent], **fields: object) -> None:
        """Make a record of now and pass it on."""
        if self._on_event is None:
            return
        try:
            self._on_event(kind(at=time.time(), **fields))
        except (Exception, asyncio.CancelledError):
            # The caller's own code must not cost a request; nor fill a log with one traceback for each.
            self._on_event = None
            _log.exception("on_event raised and is not called again")


class RequestRecord:
    """Tells of one request whose body is passed on as it comes: entered before it is sent, left after the last byte.

    Args:
        observer: Hears of it.
        what: The fields that both records have.

    Attributes:
        status: The status of the answer, once there is one.
        request_id: The server's id of the request, where it sent one.
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
        self._observer.emit(
            ResponseEvent,
            **self._what,
            status=self.status,
            error=None if kind is None else kind.__name__,
            request_id=self.request_id,
            elapsed=asyncio.get_running_loop().time() - self._started,
        )
