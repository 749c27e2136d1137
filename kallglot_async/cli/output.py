"""What programs read: one JSON object in each line.

A line is {"id": ..., "analysis": {...}, "polls": ..., "elapsed": ...}, or has "error" instead of "analysis":
{"type": "WaitTimeoutError", "message": ..., ...} with the error's own plain fields. An API error's category, which
the API calls `type` too, is "api_type" there. What is None is left out.
"""

from __future__ import annotations

import json
import re

import msgspec

from kallglot_async.errors import KallglotError
from kallglot_async.models import Analysis, Outcome

__all__ = ["encode_line", "error_fields", "outcome_line"]

# JSON allows these as they are, but a terminal obeys the controls and some readers of lines split at the rest.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def outcome_line(outcome: Outcome) -> bytes:
    """Return the outcome as one line of JSON, its line end included."""
    line: dict[str, object] = {"id": outcome.id}
    if outcome.error is not None:
        line["error"] = error_fields(outcome.error)
    else:
        line["analysis"] = outcome.analysis
    return encode_line({**line, "polls": outcome.polls, "elapsed": round(outcome.elapsed, 3)})


def encode_line(value: object) -> bytes:
    """Return any value as one line of JSON that no terminal and no reader of lines misunderstands."""
    try:
        line = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a character: an argument that is no UTF-8
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        line = text.encode(errors="replace")
    if not line.isascii():
        line = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", line.decode()).encode()
    return line.replace(b"\x7f", b"\\u007f") + b"\n"


def error_fields(error: KallglotError) -> dict[str, object]:
    """Return the error as plain data: its class, its message, and every field that is set."""
    fields: dict[str, object] = {"type": type(error).__name__, "message": error.message}
    for name, value in vars(error).items():
        if name.startswith("_") or value is None or value == ():
            continue
        if name == "history" and len(value) == 1:
            continue  # the message says it
        if isinstance(value, KallglotError):
            value = {"type": type(value).__name__, "message": value.message}
        elif isinstance(value, float):
            value = round(value, 3)
        elif not isinstance(value, str | int | tuple | Analysis):
            continue
        fields["api_type" if name == "type" else name] = value
    return fields
