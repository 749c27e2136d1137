"""`Operation`, one logical call of the API, and `Response`, one complete answer: what a request is made of.

operation -> `answers.request_headers` -> [transport] -> `Response` -> `answers.interpret(operation, response)`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NoReturn, Self, TypeVar
from urllib.parse import urlencode

import msgspec

from kallglot_async._extra_headers import check_headers

__all__ = ["Operation", "Response", "WrongResourceError", "checked", "with_query"]

T = TypeVar("T")


def _undecoded(_: bytes) -> NoReturn:
    # `read` takes its place where this is the decoder.
    raise NotImplementedError


class Operation(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One logical call of the API, independent of how often it is sent.

    Attributes:
        name: For errors and logs, for example `analyses.retrieve`.
        method: The HTTP method.
        path: Below the base URL, without a leading slash.
        group: The endpoint group whose rate limit it counts against.
        decode: The body of a 2xx answer to the value.
        body: The request's JSON, or None.
        idempotency_key: Minted once for a logical call that creates something, and sent with every attempt.
        headers: Of the caller's, checked; they win over the client's.
        read: The whole 2xx answer to the value, in the place of `decode`; None as a rule.
        is_endless: Whether it may take for ever, so that only silence ends an attempt.
    """

    name: str
    method: str
    path: str
    group: str
    decode: Callable[[bytes], T] = _undecoded
    body: bytes | None = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = {}
    read: Callable[[Response], T] | None = None
    is_endless: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does nothing twice: a safe method, or an idempotency key."""
        return self.method == "GET" or self.idempotency_key is not None

    def with_headers(self, extra: Mapping[str, str] | None) -> Self:
        """Return the operation with headers of the caller's.

        Raises:
            ConfigurationError: One cannot be sent.
        """
        return self if extra is None else msgspec.structs.replace(self, headers=check_headers("extra_headers", extra))


class Response(msgspec.Struct, frozen=True):
    """A complete answer. Its `repr` shows no header and no body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


class WrongResourceError(Exception):
    """The body is well-formed, and of something else than was asked for; the text says what it is."""


def checked(decode: Callable[[bytes], T], is_the_one: Callable[[T], bool]) -> Callable[[bytes], T]:
    """Return the decoder, which refuses what was not asked for: a late answer may come on another's connection."""

    def decode_checked(body: bytes) -> T:
        value = decode(body)
        if not is_the_one(value):
            raise WrongResourceError("something else than what was asked for")
        return value

    return decode_checked


def with_query(path: str, query: Mapping[str, str]) -> str:
    """Return the path with a query, where there is one."""
    return f"{path}?{urlencode(query)}" if query else path
