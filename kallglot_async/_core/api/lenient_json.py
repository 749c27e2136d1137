"""How every body is read: strict and fast first, lenient only where that fails.

The fast path is a bare typed decode. Only when it refuses a body is the body read as plain JSON, freed of
what servers drift into (null where a list belongs, a timestamp without a zone), and converted again. What
still does not fit has a required field missing or of the wrong type, and says so by path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["UNREADABLE", "MalformedBodyError", "Reader", "WrongShapeError", "decode_json_object"]

T = TypeVar("T")


class MalformedBodyError(Exception):
    """The body is not what it is said to be, JSON as a rule. Holds no part of it."""


class WrongShapeError(Exception):
    """The body is JSON of another shape. The text names path and type, never a value."""


# What a hostile or broken body makes msgspec raise; DecodeError includes its ValidationError.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# The one message of msgspec that quotes what it refuses, up to the path.
_VALUE = re.compile(r"^Invalid enum value .*?(?= - at `[^`]*`$|$)", re.DOTALL)
_decode_plain = msgspec.json.Decoder().decode


class Reader(Generic[T]):
    """Reads one type of body.

    Args:
        kind: The type as it travels.
        moments: Names of fields that hold a timestamp: one that cannot be read is None.
        dates: The same for fields that hold a date.
        kept: Names of fields of undocumented shape: they are kept to the letter, nulls included.
        mend: What else the lenient path does to the plain object before it is converted.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        moments: frozenset[str],
        dates: frozenset[str] = frozenset(),
        kept: frozenset[str] = frozenset(),
        mend: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._kind = kind
        self._moments = moments
        self._dates = dates
        self._kept = kept
        self._mend = mend

    @cached_property
    def strictly(self) -> Callable[[bytes], T]:
        """The fast path: a typed decode, built when it is first used."""
        return msgspec.json.Decoder(self._kind).decode

    def read(self, body: bytes) -> T:
        """Return the value in `body`.

        Raises:
            MalformedBodyError: It is not JSON.
            WrongShapeError: A required field is missing, or a field has a type it never has.
        """
        try:
            return self.strictly(body)
        except UNREADABLE:
            pass
        # Outside the handler: what msgspec raised may quote the body, and is no context of ours.
        return self.leniently(body)

    def leniently(self, body: bytes) -> T:
        """Return the value in `body`, where drift costs a field at most; raises as `read` does."""
        plain = decode_json_object(body)
        try:
            plain = self._cleaned(plain)
        except RecursionError:
            raise WrongShapeError("nested too deeply") from None
        if self._mend is not None:
            self._mend(plain)
        try:
            return msgspec.convert(plain, self._kind)
        except msgspec.ValidationError as error:
            shape = _VALUE.sub("Invalid value", str(error))
        except RecursionError:
            shape = "nested too deeply"
        raise WrongShapeError(shape)

    def _cleaned(self, value: Any) -> Any:
        """Drop nulls and read timestamps, at every depth."""
        if isinstance(value, dict):
            return {key: self._field(key, part) for key, part in value.items() if part is not None}
        if isinstance(value, list):
            return [self._cleaned(part) for part in value if part is not None]
        return value

    def _field(self, key: str, part: Any) -> Any:
        if key in self._kept:
            return part
        if key in self._moments:
            return _read_timestamp(part)
        if key in self._dates:
            moment = _read_timestamp(part)
            return None if moment is None else moment.date()
        return self._cleaned(part)


def decode_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

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
        plain, reason = _decode_sloppily(body)
    else:
        reason = ""
    if reason:
        raise MalformedBodyError(reason)
    if not isinstance(plain, dict):
        raise WrongShapeError(f"Expected `object`, got `{_json_type(plain)}`")
    return plain


def _decode_sloppily(body: bytes) -> tuple[Any, str]:
    """Read what careless generators write: a BOM, NaN, half an emoji, raw line breaks, endless numbers.

    Returns the value and why there is none; the reason holds no part of the body.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "the body is not valid UTF-8"
    try:
        plain = json.loads(text, strict=False, parse_int=_whole, parse_constant=_no_number)
        # Half a character, as a text that was cut in the middle of an emoji ends with, becomes a question mark.
        return json.loads(json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")), ""
    except ValueError:
        return None, "the body is not valid JSON"
    except RecursionError:
        return None, "the body is nested too deeply"


def _whole(digits: str) -> int | float:
    # That is about where floats end, which fields of ours are; thousands of digits Python refuses to read as a whole.
    return int(digits) if len(digits) < 300 else float(digits)


def _no_number(name: str) -> None:
    """NaN and the infinities are no values."""


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {list: "array", str: "str", bool: "bool"}
    return names.get(type(value), "number")


def _read_timestamp(value: object) -> datetime | None:
    """Read what is plausibly a moment; None for anything else, as the contract knows no other form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value)
    if not isinstance(value, str):
        return None
    text = value.strip().replace(":60", ":59")  # a leap second
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _from_epoch(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
