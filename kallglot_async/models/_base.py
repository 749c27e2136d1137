"""What every model shares: frozen structs, open enumerations, aware timestamps."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

import msgspec

from kallglot_async.errors import pydantic_serializer

if not TYPE_CHECKING:  # where a frozen clock has put its own in their place, those that msgspec knows stand below them
    _by_name = {kind.__name__: kind for kind in datetime.__mro__}
    datetime, date = _by_name["datetime"], _by_name["date"]

__all__ = ["Day", "Discreet", "JSONValue", "KnownToPydantic", "Model", "OpenEnum", "Timestamp", "one_line"]

# JSON whose shape is not documented. `Any` because a recursive alias is beyond msgspec, and because the
# honest type of "we do not know" is the one that lets the caller look.
JSONValue: TypeAlias = Any

# Aware only: a naive timestamp fails the fast path and is read as UTC by the lenient one.
Timestamp: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

# Under names of their own: msgspec looks fields up when it first needs them, and where freezegun has put a class of its
# own in the place of `date` by then, it would know no such type for as long as the process lives.
Day: TypeAlias = Annotated[date, msgspec.Meta()]


def _fields(value: Model) -> dict[str, JSONValue]:
    return value.to_dict()


# What `vars` is given, and with it encoders that know nothing of structs, such as FastAPI's: a struct's fields are in
# no dictionary of its own.
shown_fields: Any = property(_fields)


class KnownToPydantic:
    """What pydantic writes where no type says what it is.

    A base, as up to 2.8 pydantic takes what is found at a class itself for the serializer of that class.
    """

    __slots__ = ()

    @property
    def __pydantic_serializer__(self) -> object:
        return pydantic_serializer()


# `gc=False` stands at models of texts, numbers and the like, which can be in no cycle: an analysis of a long call has
# hundreds of them, and the garbage collector need not visit one.
# `omit_defaults`: encoded again, a value has the fields that the API sent, and not a null for every other.
class Model(KnownToPydantic, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable value with named fields, that can be stored as JSON and read back."""

    def to_json(self) -> bytes:
        """Return the value as one line of JSON, without the fields that hold their default, such as None or nothing.

        No terminal obeys anything in it, and no reader of lines splits it: controls, separators and direction marks are
        escaped. Half a character (a lone surrogate) becomes a question mark.
        """
        from kallglot_async.models.records import encode

        return encode(self)

    def to_dict(self) -> dict[str, JSONValue]:
        """Return the value as plain data: what `to_json` writes, in dictionaries, lists, texts and numbers."""
        plain: dict[str, JSONValue] = msgspec.json.decode(self.to_json())
        return plain

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Return the value that `to_json` has written. What it does not know is ignored.

        A body of the API, as `raw` holds it, is not what `to_json` writes: revision B's has other names for its parts.

        Raises:
            RecordError: It is not JSON, or of something else.
        """
        from kallglot_async.models.records import decode

        return decode(data, cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        from kallglot_async.models._pydantic import model_schema

        return model_schema(cls)

    __dict__ = shown_fields

    # Struct's own refuses a value with a list or an object of undocumented shape in it; equal values stay equal here.
    def __hash__(self) -> int:
        try:
            return super().__hash__()
        except TypeError:
            return hash((type(self), *map(_hash, (getattr(self, name) for name in self.__struct_fields__))))


class Discreet(Model, frozen=True, kw_only=True):
    """A model whose own `repr` leaves out call text and credentials, and which shows nothing to rich."""

    # Structs bring one that lists their fields, and rich asks it before `repr`, also for tracebacks with locals.
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class OpenEnum(StrEnum):
    """A set of documented texts that stays open: an unknown text becomes a member that keeps it."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not kept among the members: what a server makes up must neither fill memory nor become `is_known`.
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """Whether the documentation knows this text."""
        return type(self).__members__.get(self._name_) is self


def _hash(part: object) -> int:
    try:
        return hash(part)
    except TypeError:
        # A list or an object of undocumented shape: equal ones must have one hash, so all have this one.
        return 0


def one_line(text: str) -> str:
    """Return a `repr` that is one printable line: what a server sends must not forge a line of a log."""
    return text if text.isprintable() else ascii(text)[1:-1]
