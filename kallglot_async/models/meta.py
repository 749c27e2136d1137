"""What one answer told besides its value."""

from __future__ import annotations

from kallglot_async.models._base import Discreet, Model

__all__ = [
    "ResponseMeta",
    "Result",
]


class ResponseMeta(Model, frozen=True, kw_only=True, gc=False):
    """What the answer that a value came from told besides.

    Attributes:
        status: The HTTP status.
        request_id: The server's id of the request, or None. Quote it to support.
        attempts: Requests that were sent for the call, this one included; refusals (429) are not counted. What a
            wait returns counts the failed polls just before the last one, and that one.
        elapsed: Seconds from the sending of this request to its complete answer.
        limit: Requests in a window of the rate limit, or None where the answer told nothing of it.
        remaining: Requests that the window held after this one.
        resets_in: Seconds until the window renews.
        credits_remaining: API credits left, or None where the answer did not tell.
        credits_used: API credits used in this billing period.
    """

    status: int
    request_id: str | None = None
    attempts: int = 1
    elapsed: float = 0.0
    limit: int | None = None
    remaining: int | None = None
    resets_in: float | None = None
    credits_remaining: int | None = None
    credits_used: int | None = None


class Result(Discreet, frozen=True, kw_only=True, dict=True):
    """A value that the API answered with; `meta` tells of the answer itself.

    `meta` is no field: two results with the same content are equal however they came, and encoding leaves it out.
    """

    @property
    def meta(self) -> ResponseMeta | None:
        """What the answer told besides; None for a value that was not fetched, such as a copy or a decoded one."""
        told = self.__dict__.get("_told")
        if isinstance(told, tuple):  # as it came; put in order once somebody asks
            told = self.__dict__["_told"] = ResponseMeta(**dict(zip(ResponseMeta.__struct_fields__, told, strict=True)))
        return told if isinstance(told, ResponseMeta) else None
