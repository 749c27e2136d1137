"""What a receiver answers to a request, whatever server it came through."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from kallglot_async._checks import check_callback, shown
from kallglot_async.errors import ConfigurationError, WebhookError, WebhookPayloadError
from kallglot_async.webhooks import (
    Event,
    RecentKeys,
    Secrets,
    WebhookInbox,
    check_tolerance,
    construct_event,
    read_secrets,
)

__all__ = ["MAX_BODY", "NOT_FOUND", "Reception", "Reply", "SeenEvents", "Target"]

T = TypeVar("T")

Target: TypeAlias = WebhookInbox | Callable[[Event], object]
"""Where events go: an inbox, or a function that is called with each; what it returns is awaited if it can be."""

MAX_BODY = 2**20  # bytes; an analysis of a long call with all its segments has a tenth of that
_BODY_TIMEOUT = 10.0  # seconds; the sender waits 30 for the answer

_TO_DISCARD = 5.0  # seconds for a shared memory to forget an event that was not handled
_REMEMBERED = 100_000  # event ids; retries of one event are spread over two days

_logger = logging.getLogger("kallglot_async.receivers")
_logger.addHandler(logging.NullHandler())


@runtime_checkable  # for those who check arguments, such as pydantic
class SeenEvents(Protocol):
    """A memory of events that several processes share: a set whose `add` says whether the event is new to it.

    An event is added before it is handled and discarded if that fails, so that no two processes handle it at once.
    Until then the others answer as if it were: an event that comes again while it is handled, as after 30 s, and whose
    handling fails after all, is lost. What a process was handling as it was killed stays remembered. So put into a
    queue what must not be lost. If `add` raises, the answer is 500, and Kallglot sends the event again.
    """

    async def add(self, event_id: str, /) -> bool:
        """Remember an event for two days or more; False where it is remembered already. Must be atomic."""

    async def discard(self, event_id: str, /) -> object:
        """Forget an event that could not be handled, so that it can come again; no error if it is unknown."""


class Reply(msgspec.Struct, frozen=True):
    """An answer: a status, one line of text, and for some a header."""

    status: int
    text: str
    header: tuple[str, str] | None = None


NOT_FOUND = Reply(404, "Not found")
_TOO_SLOW = Reply(408, "Too slow")
_ACCEPTED = Reply(200, "Accepted")
_KNOWN = Reply(200, "Accepted before")
_NO_EVENT = Reply(400, "Not an event")
_NOT_SIGNED = Reply(401, "Invalid signature")  # as in the documentation's sample; why, only the log says
_WRONG_METHOD = Reply(405, "Use POST", ("Allow", "POST"))
_TOO_LARGE = Reply(413, "Too large")
_ENCODED = Reply(415, "Send it without Content-Encoding", ("Accept-Encoding", "identity"))
_FAILED = Reply(500, "Not handled")
_BUSY = Reply(503, "Being handled", ("Retry-After", "1"))


class Reception:
    """Decides what is answered, and hands each event over once.

    Args:
        target: Where events go.
        secrets: The endpoint's signing secret, or several while it is being changed.
        max_body: Bytes of a body at most.
        tolerance: Seconds that a signature may be old, or ahead of the clock.
        clock: Unix seconds.
        seen: Where processes share which events they have accepted; None: each remembers its own.

    Raises:
        ConfigurationError: There is no secret, an empty one, a senseless figure, or a target that takes no events.
    """

    __slots__ = ("_clock", "_handling", "_keys", "_max_body", "_seen", "_shared", "_target", "_tolerance")

    def __init__(
        self,
        target: Target,
        secrets: Secrets,
        *,
        max_body: int,
        tolerance: float,
        clock: Callable[[], float],
        seen: SeenEvents | None,
    ) -> None:
        if not (isinstance(max_body, int | float) and max_body >= 1):
            raise ConfigurationError(f"max_body is a number of bytes, 1 or more, not {shown(max_body)}")
        check_tolerance(tolerance)
        if not isinstance(target, WebhookInbox):
            check_callback("the target, if it is no WebhookInbox,", target)
        self._target: Target = target
        self._keys = read_secrets(secrets)
        self._max_body = max_body
        self._tolerance = tolerance
        self._clock = clock
        self._shared = seen
        self._seen = RecentKeys(_REMEMBERED)
        self._handling: set[str] = set()

    def refuse_head(self, method: str, length: str | None, encoding: str | None) -> Reply | None:
        """Return the answer where method, `Content-Length` or `Content-Encoding` decide it before the body is read."""
        if method != "POST":
            return _WRONG_METHOD
        # Some servers decode it and some do not, so that the bytes which were signed are not to be had from all.
        if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
            _logger.info("webhook refused: its body is encoded (%a), and what is signed are the bytes before", encoding)
            return _ENCODED
        # A length that is no number is the server's business; what arrives is counted anyway.
        if length is None or not (length.isascii() and length.isdigit()):
            return None
        # Python reads no number of thousands of digits: it raises.
        return self.refuse_size(int(length[:18]))

    def refuse_size(self, size: int) -> Reply | None:
        """Return the answer where that many bytes are too many."""
        if size <= self._max_body:
            return None
        _logger.info("webhook refused: its body is larger than the %d bytes of max_body", self._max_body)
        return _TOO_LARGE

    async def body(self, reading: Awaitable[T]) -> T | Reply:
        """Return what reading the body gives, or the answer to one that takes too long."""
        # Here, as all of this is loaded by applications that have no event loop yet.
        import anyio

        with anyio.move_on_after(_BODY_TIMEOUT):
            return await reading
        _logger.info(
            "webhook refused: its body was not there within %g s; whatever reads it in front of the receiver, as some "
            "middlewares do, has to hand it on",
            _BODY_TIMEOUT,
        )
        return _TOO_SLOW

    async def receive(self, body: bytes, header: str | bytes | None) -> Reply:
        """Return the answer to a whole body, having handed the event over if it is genuine and new.

        Cancelled, it leaves the event as never seen.
        """
        try:
            event = construct_event(body, header, self._keys, now=self._clock(), tolerance=self._tolerance)
        except WebhookError as error:
            _logger.info("webhook refused: %s", error)
            return _NO_EVENT if isinstance(error, WebhookPayloadError) else _NOT_SIGNED
        if event.id in self._seen:
            return _KNOWN
        if event.id in self._handling:
            return _BUSY
        return await self._hand_over(event)

    async def _hand_over(self, event: Event) -> Reply:
        # Seen only once it is handled: a crash or an error in between must bring the event again, not lose it.
        self._handling.add(event.id)
        try:
            is_new = await self._call(event)
        except BaseException as error:
            if not (isinstance(error, Exception) or _is_of_the_target(error)):
                raise
            _logger.exception("handling of webhook %a of type %a failed", event.id, str(event.type))
            return _FAILED
        finally:
            self._handling.discard(event.id)
        self._seen.add(event.id)
        return _ACCEPTED if is_new else _KNOWN

    async def _call(self, event: Event) -> bool:
        """Hand it to the target; False where another process did."""
        try:
            if self._shared is not None and not await self._shared.add(event.id):
                return False
            if isinstance(self._target, WebhookInbox):
                self._target.put(event)
            else:
                from kallglot_async._events import await_told  # late, as it loads asyncio

                await await_told("the target", self._target(event))
        # Cancelled as well; and an `add` that failed may have added it.
        except BaseException:
            await self._forget(event)
            raise
        return True

    async def _forget(self, event: Event) -> None:
        """Let no process take an event for handled that is not."""
        if self._shared is None:
            return
        import anyio

        try:
            # Shielded: often it is a cancellation that brings us here, and it would end this, too.
            with anyio.fail_after(_TO_DISCARD, shield=True):
                await self._shared.discard(event.id)
        except Exception:
            _logger.exception("webhook %a was not handled, and is remembered as if it were", event.id)


def _is_of_the_target(error: BaseException) -> bool:
    """Whether it is a cancellation, and nobody cancelled us: the target awaited something that was cancelled."""
    from asyncio import CancelledError  # late, as above

    from kallglot_async._clock import is_cancelled

    return isinstance(error, CancelledError) and not is_cancelled()
