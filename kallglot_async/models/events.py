"""The records of what a client does, as `on_event` hears of them."""

from __future__ import annotations

from kallglot_async.models._base import Model

__all__ = ["ClientEvent", "PollEvent", "RequestEvent", "ResponseEvent", "RetryEvent", "SettledEvent", "ThrottledEvent"]


class ClientEvent(Model, frozen=True, kw_only=True, gc=False):
    """Something that a client did, as `on_event` hears of it. Holds no key and no call text.

    Attributes:
        at: Unix seconds by the local clock.
    """

    at: float


class RequestEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """A request is about to be sent.

    Attributes:
        operation: For example `analyses.retrieve`.
        method: The HTTP method.
        path: Below the base URL. That of audio in a storage is the storage's own, and begins with a slash.
        attempt: Counted from 1 for each call; a refusal for rate is not counted. A download counts anew behind an
            attempt that brought bytes.
        url: For audio, the whole address without its query, which may be a credential; else None.
    """

    operation: str
    method: str
    path: str
    attempt: int
    url: str | None = None


class ResponseEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """That request has ended, with an answer or without one.

    Attributes:
        operation: As in the `RequestEvent`.
        method: As in the `RequestEvent`.
        path: As in the `RequestEvent`.
        attempt: As in the `RequestEvent`.
        status: The HTTP status, or None where no answer arrived; that of the proxy where a proxy refused.
        error: The class of the error it ended with, or None; `CancelledError` where the caller gave it up.
        request_id: The server's id of the request, or None.
        elapsed: Seconds since the request was sent; for audio, to the end of its body.
        url: As in the `RequestEvent`.
    """

    operation: str
    method: str
    path: str
    attempt: int
    status: int | None
    error: str | None
    request_id: str | None
    elapsed: float
    url: str | None = None


class RetryEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """An attempt failed, and another one follows.

    Attributes:
        operation: As in the `RequestEvent`.
        attempt: The attempt that failed.
        error: The class of its error.
        delay: Seconds until the next attempt.
    """

    operation: str
    attempt: int
    error: str
    delay: float


class ThrottledEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """A request was refused for rate, with 429 or the code of it: every request of that limit pauses.

    Attributes:
        operation: The operation that was refused.
        group: The endpoint group whose limit it is.
        pause: Seconds.
    """

    operation: str
    group: str
    pause: float


class PollEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """A poll of a wait was answered with its analysis.

    Attributes:
        id: The analysis.
        status: Its status, as the API spells it.
        polls: Polls of it that were sent so far, this one included.
        elapsed: Seconds since its first poll was sent.
    """

    id: str
    status: str
    polls: int
    elapsed: float


class SettledEvent(ClientEvent, frozen=True, kw_only=True, gc=False):
    """A wait for one analysis has its outcome. Where several calls wait for it, each has a record of its own.

    Attributes:
        id: The analysis.
        error: The class of the error it ended with, or None.
        polls: As in the outcome.
        elapsed: Seconds since its first poll was sent.
    """

    id: str
    error: str | None
    polls: int
    elapsed: float
