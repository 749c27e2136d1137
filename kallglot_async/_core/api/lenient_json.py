"""How every body is read: strict and fast first, lenient only where that fails.

The fast path is a bare typed decode. Only when it refuses a body is the body read as plain JSON, and each part of it
fitted into its place: null where a list belongs is an empty one, a timestamp without a zone is one in UTC, and what
still does not fit costs itself only. An answer without its identity (`id`, `object`, `status`) is of no use: those are
the fields without a default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from kallglot_async.models import Result
from kallglot_async.models.meta import kept_of

__all__ = ["UNREADABLE", "MalformedBodyError", "Reader", "WrongShapeError", "decode_json_object"]

ResultT = TypeVar("ResultT", bound=Result)


class MalformedBodyError(Exception):
    """The body is not what it is said to be, JSON as a rule. Holds no part of it."""


class WrongShapeError(Exception):
    """The body is JSON of another shape. The text names path and type, never a value.

    Attributes:
        path: Where, for example `$.status`.
        is_foreign: Whether it is none of the API's objects: it has neither an `id` nor an `object`.
    """

    def __init__(self, what: str, path: str = "$", *, is_foreign: bool = False) -> None:
        super().__init__(what if path == "$" else f"{what} - at `{path}`")
        self.path = path
        self.is_foreign = is_foreign


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
        # Not null: what is null was not sent, while a NaN is a problem that is told with its path.
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
        # One of the unreadable as well, but the other reader would do no better.
        plain, reason = None, "the body is nested too deeply"
    except UNREADABLE:
        plain, reason = _decode_sloppily(body, no_number)
    else:
        reason = ""
    if reason:
        raise MalformedBodyError(reason)
    if not isinstance(plain, dict):
        raise WrongShapeError(f"Expected `object`, got `{_json_type(plain)}`", is_foreign=True)
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


class _Misfit:
    """Stands for what a part of an impossible type gives."""


# Not None, which is what an absent part reads as, and no reason to name a problem.
_MISFIT = _Misfit()


class Shape(NamedTuple):
    """A type as it travels.

    Attributes:
        info: The type.
        ours: Fields of it that no server sends, at its root: what a body has under such a name, nobody knows.
    """

    info: inspect.StructType
    ours: frozenset[str] = frozenset()

    @classmethod
    def of(cls, kind: type, ours: frozenset[str] = frozenset()) -> Shape:
        """Return the shape of a struct."""
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)  # noqa: S101  # for type checkers
        return cls(info, ours)

    def fit(self, plain: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
        """Return the value, and the paths of what could not be read: None, or left out of its list.

        Raises:
            WrongShapeError: A field without which there is no value is missing or cannot be read.
        """
        fitter = _Fitter()
        value = fitter.struct(self.info, {name: plain[name] for name in plain if name not in self.ours}, "$")
        return value, tuple(fitter.problems)

    def unknown(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Return what no field takes, at every level, in the place where the body has it."""
        ours = {name: plain[name] for name in plain if name in self.ours}
        rest = {name: part for name, part in plain.items() if name not in ours}
        return {**(_unknown(self.info, rest) or {}), **ours}


def _json_type(value: object) -> str:
    """Return what JSON calls the type of a value."""
    if value is None:
        return "null"
    names: dict[type, str] = {list: "array", str: "str", bool: "bool", dict: "object"}
    return names.get(type(value), "number")


class _Fitter:
    """Makes one value of plain JSON."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def struct(self, info: inspect.StructType, plain: Any, path: str) -> Any:
        if not isinstance(plain, dict):
            return _MISFIT
        fields = {}
        for field in info.fields:
            part = plain.get(field.encode_name)
            where = f"{path}.{field.encode_name}"
            if part is not None:
                part = self.part(field.type, part, where)
            if part is _MISFIT:
                if field.required:
                    raise _no_identity(field, plain[field.encode_name], where)
                self.problems.append(where)
            elif part is not None:
                fields[field.name] = part
            elif field.required and field.encode_name in plain and isinstance(field.type, inspect.VarTupleType):
                # Null, as some servers write an empty list.
                fields[field.name] = ()
            elif field.required:
                is_foreign = path == "$" and not {"id", "object"} & plain.keys()
                raise WrongShapeError(
                    f"Object missing required field `{field.encode_name}`", path, is_foreign=is_foreign
                )
        return info.cls(**fields)

    def part(self, info: inspect.Type, plain: Any, path: str) -> Any:
        """Return the value of one part, which is not null; `_MISFIT` where it cannot be one of this type."""
        if isinstance(info, inspect.UnionType):
            # One fits at most: of each kind of JSON value a union has one type.
            found = (self.part(one, plain, path) for one in info.types if not isinstance(one, inspect.NoneType))
            return next((part for part in found if part is not _MISFIT), _MISFIT)
        if isinstance(info, inspect.StructType):
            return self.struct(info, plain, path)
        if isinstance(info, inspect.VarTupleType):
            return self.items(info.item_type, plain, path)
        return _READERS[type(info)](info, plain)

    def items(self, info: inspect.Type, plain: Any, path: str) -> Any:
        if not isinstance(plain, list):
            return _MISFIT
        # A null among data of unknown shape is data.
        if isinstance(info, inspect.AnyType):
            items = _any(info, plain)
            return items if items is _MISFIT else tuple(items)
        items = []
        for place, item in enumerate(plain):
            part = None if item is None else self.part(info, item, f"{path}[{place}]")
            if part is _MISFIT:
                # Of a page of recordings none is left out in silence.
                if _has_identity(info):
                    raise WrongShapeError(f"Expected `object`, got `{_json_type(item)}`", f"{path}[{place}]")
                self.problems.append(f"{path}[{place}]")
            elif part is not None:
                items.append(part)
        return tuple(items)


def _has_identity(info: inspect.Type) -> bool:
    return isinstance(info, inspect.StructType) and any(field.required for field in info.fields)


def _no_identity(field: inspect.Field, plain: Any, path: str) -> WrongShapeError:
    if isinstance(field.type, inspect.LiteralType) and isinstance(plain, str):
        return WrongShapeError("Invalid value", path)
    expected = "array" if isinstance(field.type, inspect.VarTupleType) else "str"
    return WrongShapeError(f"Expected `{expected}`, got `{_json_type(plain)}`", path)


def _any(_: inspect.Type, plain: Any) -> Any:
    try:
        return _finite(plain)
    except RecursionError:
        return _MISFIT


def _finite(plain: Any) -> Any:
    """Return data of unknown shape to the letter, but for NaN and the infinities, which are no values."""
    if isinstance(plain, dict):
        return {key: _finite(part) for key, part in plain.items()}
    if isinstance(plain, list):
        return [_finite(part) for part in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _text(_: inspect.Type, plain: Any) -> Any:
    return plain if isinstance(plain, str) else _MISFIT


def _truth(_: inspect.Type, plain: Any) -> Any:
    return plain if isinstance(plain, bool) else _MISFIT


def _number(_: inspect.Type, plain: Any) -> Any:
    # To Python a truth value is a whole number; to whoever sent it, it is not.
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        return _MISFIT
    try:
        number = float(plain)
    except OverflowError:
        return _MISFIT
    return number if math.isfinite(number) else _MISFIT


def _moment(_: inspect.Type, plain: Any) -> Any:
    """Read what is plausibly a moment, as the contract knows one form only."""
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        try:
            return datetime.fromtimestamp(plain, tz=UTC)
        except (ValueError, OverflowError, OSError):
            return _MISFIT
    if not isinstance(plain, str):
        return _MISFIT
    # A leap second, which Python has no moment for.
    text = plain.strip().replace(":60", ":59")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _MISFIT
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _day(info: inspect.Type, plain: Any) -> Any:
    moment = _moment(info, plain)
    return moment.date() if isinstance(moment, datetime) else moment


def _open_enum(info: inspect.Type, plain: Any) -> Any:
    return info.cls(plain) if isinstance(info, inspect.EnumType) and isinstance(plain, str) else _MISFIT


def _literal(info: inspect.Type, plain: Any) -> Any:
    is_one = isinstance(info, inspect.LiteralType) and isinstance(plain, str) and plain in info.values
    return plain if is_one else _MISFIT


_READERS: dict[type[inspect.Type], Callable[[inspect.Type, Any], Any]] = {
    inspect.AnyType: _any,
    inspect.StrType: _text,
    inspect.BoolType: _truth,
    inspect.FloatType: _number,
    inspect.DateTimeType: _moment,
    inspect.DateType: _day,
    inspect.EnumType: _open_enum,
    inspect.LiteralType: _literal,
}


def _unknown(info: inspect.Type, plain: Any) -> Any:
    """Return what a part has that its type does not know; None for nothing."""
    if isinstance(info, inspect.UnionType):
        found = (_unknown(one, plain) for one in info.types)
        return next((part for part in found if part), None)
    if isinstance(info, inspect.StructType) and isinstance(plain, dict):
        known = {field.encode_name: field.type for field in info.fields}
        parts = {name: _unknown(known[name], part) if name in known else part for name, part in plain.items()}
        return {name: part for name, part in parts.items() if name not in known or part} or None
    if isinstance(info, inspect.VarTupleType) and isinstance(plain, list):
        items = [_unknown(info.item_type, item) or {} for item in plain]
        return items if any(items) else None
    return None
