"""Values as JSON, and outcomes as records: what is stored in a file of lines, and how it is read back.

An outcome's record is {"id": ..., "analysis": {...}, "polls": ..., "elapsed": ...}, or has "error" instead of
"analysis": {"type": "WaitTimeoutError", "message": ..., ...} with the error's own plain fields. An API error's
category, which the API calls `type` too, is "api_type" there. What is None or empty is left out. A file of lines has
one record in each; the `kallglot` command writes such files, and so does `Outcomes.to_jsonl`.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import count
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from kallglot_async import errors
from kallglot_async._checks import check_method, is_text, rest_of
from kallglot_async.errors import KallglotError, RecordError
from kallglot_async.models._base import JSONValue
from kallglot_async.models.analysis import Analysis
from kallglot_async.models.outcome import Lines, Outcome

__all__ = [
    "GZIP", "decode", "decode_any", "encode", "encode_line", "encode_outcome", "error_record",
    "is_utf_16", "outcome_of", "read_jsonl", "write_jsonl",
]  # fmt: skip

T = TypeVar("T")
OutcomeT = TypeVar("OutcomeT", bound=Outcome)
GZIP = b"\x1f\x8b"  # what its files begin with, and no text does

# JSON allows these as they are, but a terminal obeys the controls and some readers of lines split at the rest.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_HALF = re.compile(r"[\ud800-\udfff]")
# The fields of errors whose default stands at a class.
_OF_CLASSES = frozenset({"is_enveloped", "is_empty", "is_foreign", "path", "retry_after"})
# The fields of errors that are None where they are not known, and a number where they are. All others hold texts.
_NUMBERS = frozenset({"retry_after", "timeout", "limit", "line", "reset", "status"})


def encode(value: object) -> bytes:
    """Return any value as JSON in one line, of which no terminal and no reader of lines misunderstands anything."""
    try:
        line = msgspec.json.encode(value, enc_hook=_plain)
    # Half a character, in a text that never was UTF-8. To look for it in each would cost all the others.
    except UnicodeEncodeError:
        line = msgspec.json.encode(_whole(msgspec.to_builtins(value, enc_hook=_plain)))
    if not line.isascii():
        line = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", line.decode()).encode()
    # DEL is ASCII, so what is all ASCII has not been searched for it.
    return line.replace(b"\x7f", b"\\u007f")


def encode_line(value: object) -> bytes:
    """Return what `encode` does, with a line end."""
    return encode(value) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, KallglotError):
        return error_record(value)
    if isinstance(value, Iterable):  # `Outcomes`
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be encoded")


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF.sub("?", value)
    if isinstance(value, dict):
        return {_whole(name): _whole(part) for name, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, list | tuple) else value


def decode(data: bytes | str, kind: type[T], name: str | None = None) -> T:
    """Return the value in `data`.

    Args:
        data: What was stored.
        kind: Of which class the value is.
        name: What it is called in an error; default: the name of its class.

    Raises:
        RecordError: It is not JSON, or of something else; the text quotes nothing of it.
    """
    if not isinstance(data, bytes | bytearray | memoryview | str):
        raise RecordError(f"JSON is bytes or text, not {type(data).__name__}")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        # Its one message that quotes a value is that of an enumeration.
        what = re.sub(r"^Invalid enum value .*?(?= - at `[^`]*`$|$)", "Invalid value", str(error), flags=re.DOTALL)
    except (msgspec.DecodeError, UnicodeError):
        what = "it is not JSON in UTF-8"
    except RecursionError:
        what = "it is nested too deeply"
    # Outside the handler: what was raised there may quote the text, and is no context of ours.
    raise RecordError(f"no stored {name or kind.__name__}: {what}")


def decode_any(data: bytes) -> JSONValue:
    """Return what JSON says, whatever it is; raises as `decode` does."""
    value: JSONValue = decode(data, object)
    return value


# -- errors


def error_record(error: KallglotError) -> dict[str, JSONValue]:
    """Return the error as plain data: its class, its message, and every field that is set."""
    fields: dict[str, JSONValue] = {"type": type(error).__name__, "message": error.message}
    for name, value in vars(error).items():
        if name.startswith("_") or value is None or value == ():
            continue
        if isinstance(value, KallglotError):
            value = {"type": type(value).__name__, "message": value.message}
        elif isinstance(value, Analysis):
            value = value.to_dict()
        elif isinstance(value, tuple):
            value = list(value)
        elif not isinstance(value, str | int | float):
            continue
        fields["api_type" if name == "type" else name] = value
    return fields


def _error_of(record: dict[str, JSONValue]) -> KallglotError:
    """Return the error of a record; of a class that this version does not know, one of the root's."""
    name, message = record.get("type"), record.get("message", "")
    if not isinstance(name, str) or not isinstance(message, str):
        raise RecordError("an error has a `type` and a `message`, which are texts")
    # Looked up only among our errors: what a record holds may have been written by anybody.
    if name not in errors.__all__:
        return KallglotError(f"{name}: {message}" if message else name)
    kind: type[KallglotError] = getattr(errors, name)
    error = kind(message)
    for key, value in record.items():
        field = "type" if key == "api_type" else key
        is_known = field in vars(error) or (field in _OF_CLASSES and hasattr(kind, field))
        # Else it is of a later version, or nothing that stands on such an error.
        if is_known and key not in {"type", "message"}:
            setattr(error, field, _field_of(field, value, getattr(error, field)))
    return error


def _field_of(name: str, value: JSONValue, default: object) -> object:
    """Return an error's field as the error has it."""
    if name == "analysis":
        return Analysis.from_json(msgspec.json.encode(value))
    # Of an error on an error nothing else is stored.
    if name == "reason" and isinstance(value, dict):
        return _error_of({key: value[key] for key in ("type", "message") if key in value})
    if name == "history" and isinstance(value, list) and all(isinstance(line, str) for line in value):
        return tuple(value)
    kind: type = type(default)
    if default is None:
        kind = float if name in _NUMBERS else str
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if type(value) is kind or (kind is float and is_number):
        return value
    raise RecordError(f"an error's `{name}` cannot be of type {type(value).__name__}")


# -- outcomes


class _Record(msgspec.Struct):
    """An outcome as it is stored."""

    id: str
    analysis: Analysis | None = None
    error: dict[str, JSONValue] | None = None
    polls: int = 0
    elapsed: float = 0.0


def encode_outcome(outcome: Outcome) -> bytes:
    """Return the outcome's record as JSON in one line."""
    ending: dict[str, object] = {} if outcome.analysis is None else {"analysis": outcome.analysis}
    if outcome.error is not None:
        ending["error"] = error_record(outcome.error)
    return encode({"id": outcome.id, **ending, "polls": outcome.polls, "elapsed": outcome.elapsed})


def outcome_of(data: bytes | str, kind: type[OutcomeT]) -> OutcomeT:
    """Return the outcome of a record.

    Raises:
        RecordError: It is none.
    """
    record = decode(data, _Record, "Outcome")
    if (record.analysis is None) == (record.error is None):
        raise RecordError("no stored Outcome: it has neither an analysis nor an error, or both")
    error = None if record.error is None else _error_of(record.error)
    return kind(id=record.id, analysis=record.analysis, error=error, polls=record.polls, elapsed=record.elapsed)


# -- files of lines


def write_jsonl(outcomes: Iterable[Outcome], to: Lines) -> None:
    """Write one line for each outcome, as they come; a path's file is there whole or as it was before."""
    if isinstance(to, str | PathLike):
        from kallglot_async._whole_file import path_of, whole_file  # a room above us, for those who write files

        with whole_file(path_of(to)) as file:
            file.writelines(encode_outcome(outcome) + b"\n" for outcome in outcomes)
        return
    write = check_method("outcomes go to", to, "write")
    takes_text = is_text(to)
    for outcome in outcomes:
        line = encode_outcome(outcome) + b"\n"
        if takes_text:
            write(line.decode())
            continue
        while line:
            line = rest_of(line, write(line), to)


def read_jsonl(source: Lines) -> Iterator[Outcome]:
    """Return the outcomes in a file of lines, one after the other, in bounded memory.

        outcomes = Outcomes(read_jsonl("outcomes.jsonl"))

    Reads what `Outcomes.to_jsonl` and the `kallglot` command write. Empty lines are skipped. A path is opened when the
    first outcome is asked for, and closed behind the last one.

    Args:
        source: A path, or a file object of bytes or text, which is read from where it stands and not closed.

    Raises:
        RecordError: A line is no outcome; `line` is its number, counted from 1.
        OSError: The file cannot be read.
    """
    if isinstance(source, str | PathLike):
        return _read_path(Path(source))
    check_method("outcomes come from", source, "readline")
    return _read_lines(source)


def _read_path(path: Path) -> Iterator[Outcome]:
    with path.open("rb") as file:
        yield from _read_lines(file)


def _read_lines(file: IO[bytes] | IO[str] | io.BufferedIOBase) -> Iterator[Outcome]:
    # Not by going through it: what some file objects give then, as those of storages on the network, are no lines.
    readline = _as_written(file).readline
    for number in count(1):
        if not (line := readline()):
            return
        line = line.strip()
        # A byte-order mark, as some editors leave it.
        if number == 1:
            line = line.removeprefix("\ufeff") if isinstance(line, str) else line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            continue
        try:
            outcome, what = outcome_of(line, Outcome), ""
        except RecordError as error:
            is_packed = number == 1 and isinstance(line, bytes) and line.startswith(GZIP)
            outcome, what = None, "it is compressed: unpack it (gzip.open, zcat)" if is_packed else error.message
        if outcome is None:
            raise RecordError(f"line {number} cannot be read: {what}", line=number)
        yield outcome


def _as_written(
    file: IO[bytes] | IO[str] | io.BufferedIOBase,
) -> IO[bytes] | IO[str] | io.BufferedIOBase | codecs.StreamReader:
    """Return the file as one of text where it is in UTF-16, as Windows' PowerShell writes what is redirected."""
    if not isinstance(file, io.BufferedReader):
        return file
    # Half a character, as a text that was cut has, passes here: what then reads the line says which one it is.
    return codecs.getreader("utf-16")(file, "surrogatepass") if is_utf_16(file.peek(4)[:4]) else file


def is_utf_16(beginning: bytes) -> bool:
    """Return whether text begins as UTF-16 with a byte-order mark, as Windows' PowerShell writes what is redirected.

    A pipe may give the mark alone. Where no zero byte is in what follows, it is something else that is no text.
    """
    has_mark = beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return has_mark and (len(beginning) < 4 or b"\0" in beginning)
