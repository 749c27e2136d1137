"""How every body is read: strict and fast first, lenient only where that fails.

The fast path is a bare typed decode. Only when it refuses a body is the body read as plain JSON, and each part of it
fitted into its place: null where a list belongs is no list, a timestamp without a zone is one in UTC, and what still
does not fit costs itself only (`fitting`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from kallglot_async._core.api.fitting import Shape, WrongShapeError, json_type
from kallglot_async.models import Result
from kallglot_async.models.meta import kept_of

__all__ = ["UNREADABLE", "MalformedBodyError", "Reader", "WrongShapeError", "decode_json_object"]

ResultT = TypeVar("ResultT", bound=Result)


class MalformedBodyError(Exception):
    """The body is not what it is said to be, JSON as a rule. Holds no part of it."""


# What a hostile or broken body makes msgspec raise; DecodeError includes its ValidationError.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_plain = msgspec.json.Decoder().decode


class Reader(Generic[ResultT]):
    """Reads one type of body. What it returns knows what of its body could not be read.

    Args:
        kind: The type as it travels.
        lift: Makes the public value of it; None where it is that.
        ours: Fields of the type that no server sends.
    """

    def __init__(
        self, kind: type, lift: Callable[[Any], ResultT] | None = None, *, ours: frozenset[str] = frozenset()
    ) -> None:
        self._kind = kind
        self._lift = lift
        self._ours = ours

    # Both are built when they are first used.

    @cached_property
    def strictly(self) -> Callable[[bytes], Any]:
        """The fast path: a typed decode, which may raise `UNREADABLE`."""
        return msgspec.json.Decoder(self._kind).decode

    @cached_property
    def _shape(self) -> Shape:
        return Shape.of(self._kind, self._ours)

    def read(self, body: bytes) -> ResultT:
        """Return the value in `body`.

        Raises:
            MalformedBodyError: It is not JSON.
            WrongShapeError: A field without which there is no value is missing or cannot be read.
        """
        try:
            value: ResultT = self.strictly(body)
            return value if self._lift is None else self._lift(value)
        except UNREADABLE:
            pass
        # Outside the handler: what msgspec raised may quote the body, and is no context of ours.
        return self.leniently(body)

    def leniently(self, body: bytes) -> ResultT:
        """Return the value in a body that the fast path refuses; raises as `read` does."""
        plain = decode_json_object(body, no_number=math.nan)
        sent, problems = self._shape.fit(plain)
        value: ResultT = sent if self._lift is None else self._lift(sent)
        if problems:
            kept_of(value)["problems"] = problems
        return value

    def unknown(self, body: bytes) -> dict[str, Any]:
        """Return what is in the body and in no field, at every level; nothing where that is nested too deeply."""
        try:
            return self._shape.unknown(decode_json_object(body))
        except (MalformedBodyError, RecursionError):
            return {}


def decode_json_object(body: bytes, *, no_number: float | None = None) -> dict[str, Any]:
    """Return the JSON object in `body`; `no_number` stands in it for NaN and the infinities.

    Raises:
        MalformedBodyError: It is not JSON.
        WrongShapeError: It is JSON, but not an object.
    """
    if not body:
        raise MalformedBodyError("the body is empty")
    try:
        plain = _decode_plain(body)
    except RecursionError:
        plain, reason = None, "the body is nested too deeply"
    except UNREADABLE:
        plain, reason = _decode_sloppily(body, no_number)
    else:
        reason = ""
    if reason:
        raise MalformedBodyError(reason)
    if not isinstance(plain, dict):
        raise WrongShapeError(f"Expected `object`, got `{json_type(plain)}`")
    return plain


def _decode_sloppily(body: bytes, no_number: float | None) -> tuple[Any, str]:
    """Read what careless generators write: a BOM, NaN, half an emoji, raw line breaks, endless numbers.

    Returns the value and why there is none; the reason holds no part of the body.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "the body is not valid UTF-8"
    try:
        plain = json.loads(text, strict=False, parse_int=_whole)
        # Half a character, as a text that was cut in the middle of an emoji ends with, becomes a question mark.
        whole = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole, parse_constant=lambda _: no_number), ""
    except ValueError:
        return None, "the body is not valid JSON"
    except RecursionError:
        return None, "the body is nested too deeply"


def _whole(digits: str) -> int | float:
    # That is about where floats end, which fields of ours are; thousands of digits Python refuses to read as a whole.
    return int(digits) if len(digits) < 300 else float(digits)
