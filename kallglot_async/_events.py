"""The caller's callbacks: what they return, and the plain ones, which are told whatever they raise."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from kallglot_async.models import ClientEvent, RequestEvent, ResponseEvent
from kallglot_async.models._base import one_line

__all__ = ["REQUESTS", "Observer", "OnEvent", "PlainCallback", "RequestRecord", "await_told", "check_told"]

T = TypeVar("T")
OnEvent = Callable[[ClientEvent], object]
REQUESTS = logging.getLogger("kallglot_async.requests")  # one line at DEBUG for each


class PlainCallback(Generic[T]):
    """A function of the caller's that is told facts and not awaited; once it raises, it is told no more.

    Args:
        name: As the caller knows it.
        function: The caller's; None: nobody listens.
        log: Where it is said, once, that it has raised, or returned what nobody would run.
    """

    __slots__ = ("_function", "_log", "_name", "is_on")

    def __init__(self, name: str, function: Callable[[T], object] | None, log: str) -> None:
        self._name = name
        self._function = function
        self._log = log
        self.is_on: bool = function is not None  # whether anybody listens, so that a fact is worth making

    def tell(self, make: Callable[[], T]) -> None:
        """Tell what `make` returns."""
        if self._function is None:
            return
        try:
            check_told(self._name, self._function(make()))
        except (Exception, asyncio.CancelledError):
            # The caller's own code must not cost a request; nor fill a log with one traceback for each.
            self._function, self.is_on = None, False
            logging.getLogger(self._log).exception("%s raised and is not called again", self._name)


class Observer:
    """Passes on records, in the order in which things happen.

    Args:
        on_event: The caller's; if it raises, that is logged once and it is not called again.

    Attributes:
        callback: It, as it is told: what is no request is worth a record only where it is on.
    """

    __slots__ = ("callback",)

    def __init__(self, on_event: OnEvent | None) -> None:
        self.callback: PlainCallback[ClientEvent] = PlainCallback("on_event", on_event, "kallglot_async.events")

    def emit(self, kind: Callable[..., ClientEvent], **fields: object) -> None:
        """Make a record of now and pass it on."""
        if self.callback.is_on:
            self.callback.tell(lambda: kind(at=time.time(), **fields))


class RequestRecord:
    """Tells of one request, and logs it when it has ended: entered before it is sent, left after the last byte.

    Where nobody listens and nothing is logged, none is worth making.

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
        elapsed = asyncio.get_running_loop().time() - self._started
        self.status = self.status or getattr(error, "status", None) or None
        self.request_id = self.request_id or getattr(error, "request_id", None)
        name = None if kind is None else kind.__name__
        # Without the query, which is the caller's own business; what a path holds of a server's own is made one line.
        where = one_line(str(self._what.get("url") or self._what["path"]).partition("?")[0])
        REQUESTS.debug(
            "%s %s: %s, attempt %s, %.3f s, request %s",
            self._what["method"], where, self.status or name, self._what["attempt"], elapsed, self.request_id,
        )  # fmt: skip
        self._observer.emit(
            ResponseEvent,
            **self._what,
            status=self.status,
            error=name,
            request_id=self.request_id,
            elapsed=elapsed,
        )


def check_told(name: str, told: object) -> None:
    """Raise where what a plain callback returned says that its body has not run; a coroutine is closed.

    A task or another future is fine: it runs by itself.

    Raises:
        TypeError: It is a coroutine, a generator, or something else that waits to be awaited or gone through.
    """
    is_lost = inspect.isgenerator(told) or inspect.isasyncgen(told) or inspect.isawaitable(told)
    if not is_lost or asyncio.isfuture(told):
        return
    if inspect.iscoroutine(told) or inspect.isgenerator(told):
        # Else it would warn, at some later moment, that it was never awaited.
        told.close()
    raise TypeError(
        f"{name} returned {type(told).__name__} {getattr(told, '__qualname__', '')}, which nobody runs: "
        "give a plain function, which may put what it is told into a queue, or start a task"
    )


async def await_told(name: str, told: object) -> None:
    """Await what a callback returned, where that can be awaited.

    Raises:
        TypeError: It can only be gone through, so that the callback's body has not run.
    """
    if inspect.isawaitable(told):
        await told
    else:
        check_told(name, told)
