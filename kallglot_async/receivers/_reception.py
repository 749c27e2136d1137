"""What a receiver answers to a request, whatever server it came through."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from kallglot_async._core.api.signing import Secrets, check_tolerance, read_secrets
from kallglot_async._waiting.inbox import RecentKeys, WebhookInbox
from kallglot_async.errors import ConfigurationError, WebhookError, WebhookPayloadError
from kallglot_async.webhooks import Event, construct_event

__all__ = ["MAX_BODY", "NOT_FOUND", "Reception", "Reply", "Target"]

Target: TypeAlias = WebhookInbox | Callable[[Event], object]
"""Where events go: an inbox, or a function that is called with each; what it returns is awaited if it can be."""

MAX_BODY = 2**20  # bytes; an analysis of a long call with all its segments has a tenth of that

_REMEMBERED = 100_000  # event ids; retries of one event are spread over two days

_logger = logging.getLogger("kallglot_async.receivers")
_logger.addHandler(logging.NullHandler())


class Reply(msgspec.Struct, frozen=True):
    """An answer: a status, one line of text, and for some a header."""

    status: int
    text: str
    header: tuple[str, str] | None = None


NOT_FOUND = Reply(404, "Not found")
_ACCEPTED = Reply(200, "Accepted")
_KNOWN = Reply(200, "Accepted before")
_NO_EVENT = Reply(400, "Not an event")
_NOT_SIGNED = Reply(401, "Invalid signature")  # as in the documentation's sample; why, only the log says
_WRONG_METHOD = Reply(405, "Use POST", ("Allow", "POST"))
_TOO_LARGE = Reply(413, "Too large")
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

    Raises:
        ConfigurationError: There is no secret, an empty one, or a senseless figure.
    """

    __slots__ = ("_clock", "_handle", "_handling", "_keys", "_max_body", "_seen", "_tolerance")

    def __init__(
        self, target: Target, secrets: Secrets, *, max_body: int, tolerance: float, clock: Callable[[], float]
    ) -> None:
        if max_body < 1:
            raise ConfigurationError(f"max_body is a number of bytes, 1 or more, not {max_body}")
        check_tolerance(tolerance)
        self._handle: Callable[[Event], object] = target.put if isinstance(target, WebhookInbox) else target
        self._keys = read_secrets(secrets)
        self._max_body = max_body
        self._tolerance = tolerance
        self._clock = clock
        self._seen = RecentKeys(_REMEMBERED)
        self._handling: set[str] = set()

    def refuse_head(self, method: str, length: str | None) -> Reply | None:
        """Return the answer where method and `Content-Length` decide it before the body is read."""
        if method != "POST":
            return _WRONG_METHOD
        # A length that is no number is the server's business; what arrives is counted anyway.
        if length is None or not (length.isascii() and length.isdigit()):
            return None
        return _TOO_LARGE if len(length) > 18 else self.refuse_size(int(length))

    def refuse_size(self, size: int) -> Reply | None:
        """Return the answer where that many bytes are too many."""
        return _TOO_LARGE if size > self._max_body else None

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
            result = self._handle(event)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _logger.exception("handling of webhook %a of type %a failed", event.id, event.type.value)
            return _FAILED
        finally:
            self._handling.discard(event.id)
        self._seen.add(event.id)
        return _ACCEPTED
