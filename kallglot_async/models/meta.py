"""What one answer told besides its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypedDict, TypeVar

from msgspec import structs

from kallglot_async.models._base import Discreet, JSONValue, Model, shown_fields

__all__ = ["Kept", "ResponseMeta", "Result", "kept_of", "read_extra"]


class ResponseMeta(Model, frozen=True, kw_only=True, gc=False):
    """What the answer that a value came from told besides.

    Attributes:
        status: The HTTP status.
        request_id: The server's id of the request, or None. Quote it to support.
        attempts: Requests that were sent for the call, this one included; refusals for rate are not counted. What a
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


class Kept(TypedDict, total=False):
    """What a value keeps besides its fields: of what it came from, and of what could not be read."""

    told: ResponseMeta
    raw: bytes
    extra: dict[str, JSONValue]
    problems: tuple[str, ...]


class _Keeping(Discreet, frozen=True, kw_only=True, dict=True):
    """A struct with a place for what is no field of it."""


kept_of: Callable[[Result], Kept] = vars(_Keeping)["__dict__"].__get__
"""That place of a value, to be written to by who makes the value; `__dict__` itself shows the fields."""


class Result(_Keeping, frozen=True, kw_only=True):
    """A value that the API answered with, which knows the answer that it came from.

    None of this is a field: two results with the same content are equal however they came, and encoding leaves it out.
    """

    @property
    def meta(self) -> ResponseMeta | None:
        """What the answer told besides; None for a value that was not fetched, such as a copy or a decoded one."""
        return kept_of(self).get("told")

    @property
    def raw(self) -> bytes | None:
        """The answer's body as it came.

        None for a value that was made otherwise, and from a client with `keep_raw=False`. It is call text like the
        value itself.
        """
        return kept_of(self).get("raw")

    @property
    def extra(self) -> dict[str, JSONValue]:
        """What the body has and no field takes, in the places where the body has it; read at first use.

        `analysis.extra["results"]["sentiment"]["intensity"]`. Beside a list stands a list with an object for each of
        its elements. Empty where there is nothing, or no `raw`, or where that is nested absurdly deep. Read-only by
        agreement.
        """
        kept = kept_of(self)
        if "extra" not in kept:
            read, raw = _readers.get(type(self)), kept.get("raw")
            kept["extra"] = {} if read is None or raw is None else read(self, raw)
        return kept["extra"]

    @property
    def problems(self) -> tuple[str, ...]:
        """The paths of what the body has of an impossible type, for example `$.results.quality.score`.

        Such a field is None, or empty where it is a list; such an element is left out of its list. What was sent is in
        `raw`.
        """
        return kept_of(self).get("problems", ())

    # Said again: a struct with a place of its own brings a `__dict__` of its own.
    __dict__ = shown_fields

    def __copy__(self) -> Self:
        copy: Self = super().__copy__()  # type: ignore[misc]  # Struct has one, which its stub does not tell
        kept_of(copy).update(_to_be_copied(self))
        return copy

    def __reduce__(self) -> tuple[Callable[..., Result], tuple[object, ...]]:
        """Pickle and deepcopy keep the body, what it has besides, and what could not be read."""
        kept = _to_be_copied(self)
        if kept:
            # Read now: another process may know less of how.
            kept["extra"] = self.extra
        return _made_again, (type(self), structs.asdict(self), kept)


ResultT = TypeVar("ResultT", bound=Result)


def _to_be_copied(value: Result) -> Kept:
    """Return what a copy keeps: it was not fetched."""
    kept = kept_of(value).copy()
    kept.pop("told", None)
    return kept


def _made_again(kind: type[ResultT], fields: dict[str, Any], kept: Kept) -> ResultT:
    value = kind(**fields)
    kept_of(value).update(kept)
    return value


_readers: dict[type[Result], Callable[[Any, bytes], dict[str, JSONValue]]] = {}


def read_extra(kind: type[ResultT], read: Callable[[ResultT, bytes], dict[str, JSONValue]]) -> None:
    """Say how `extra` of a kind of value is read: by a function of the value and its body."""
    _readers[kind] = read
