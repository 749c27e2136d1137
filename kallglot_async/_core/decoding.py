"""The one place that decodes an analysis: strict and fast first, lenient only where that fails.

The fast path is a bare typed decode. Only when it refuses a body is the body read as plain JSON, freed of
what servers drift into (null where a list belongs, a timestamp without a zone), and converted again. What
still does not fit has a required field missing or of the wrong type, and says so by path.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from kallglot_async._core.ids import Revision
from kallglot_async.models import Analysis, AnalysisStatus, Compliance, PartySentiment, Performance, Report
from kallglot_async.models._base import JSONValue, Timestamp

__all__ = ["MalformedBodyError", "WrongShapeError", "decode_analysis", "decode_json_object"]


class MalformedBodyError(Exception):
    """The body is not JSON. Holds no part of it."""


class WrongShapeError(Exception):
    """The body is JSON of another shape. The text names path and type, never a value."""


class _AnalysisB(msgspec.Struct, frozen=True):
    """Revision B as it travels: flat."""

    id: str
    object: Literal["analysis"]
    status: AnalysisStatus
    session_id: str | None = None
    call_id: str | None = None
    profile: str | None = None
    summary: str | None = None
    sentiment: PartySentiment | None = None
    compliance: Compliance | None = None
    performance: Performance | None = None
    keywords: JSONValue = None
    error: str | dict[str, Any] | None = None
    created_at: Timestamp | None = None
    completed_at: Timestamp | None = None


def _lift(flat: _AnalysisB) -> Analysis:
    """Give revision B's flat fields their place in the one public value."""
    message = flat.error.get("message") if isinstance(flat.error, dict) else flat.error
    parts = Report(
        call_id=flat.call_id,
        profile=flat.profile,
        summary=flat.summary,
        sentiment=flat.sentiment,
        compliance=flat.compliance,
        performance=flat.performance,
        keywords=flat.keywords,
    )
    return Analysis(
        id=flat.id,
        object=flat.object,
        status=flat.status,
        session_id=flat.session_id,
        report=parts if parts != _NO_PARTS else None,
        error=message if isinstance(message, str) else None,
        created_at=flat.created_at,
        completed_at=flat.completed_at,
    )


_NO_PARTS = Report()
_A = Revision.A
_decode_a = msgspec.json.Decoder(Analysis).decode
_decode_b = msgspec.json.Decoder(_AnalysisB).decode
_decode_plain = msgspec.json.Decoder().decode
# What a hostile or broken body makes msgspec raise; DecodeError includes its ValidationError.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_analysis(body: bytes, revision: Revision) -> Analysis:
    """Return the analysis in `body`.

    Raises:
        MalformedBodyError: It is not JSON.
        WrongShapeError: A required field is missing, or a field has a type it never has.
    """
    try:
        if revision is _A:
            analysis = _decode_a(body)
            if analysis.report is None:
                return analysis
            return msgspec.structs.replace(analysis, report=None)  # ours alone: from a server, an unknown field
        return _lift(_decode_b(body))
    except _UNREADABLE:
        pass
    # Outside the handler: what msgspec raised may quote the body, and is no context of ours.
    return _decode_leniently(body, revision)


def _decode_leniently(body: bytes, revision: Revision) -> Analysis:
    plain = _repair(decode_json_object(body), _NOT_OURS[revision])
    try:
        if revision is Revision.A:
            return msgspec.convert(plain, Analysis)
        return _lift(msgspec.convert(plain, _AnalysisB))
    except msgspec.ValidationError as error:
        shape = _VALUE.sub("Invalid value", str(error))
    except RecursionError:
        shape = "nested too deeply"
    raise WrongShapeError(shape)


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
    except _UNREADABLE:
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
    return int(digits) if len(digits) < 300 else float(digits)


def _no_number(name: str) -> None:
    """NaN and the infinities are no values."""


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {list: "array", str: "str", bool: "bool"}
    return names.get(type(value), "number")


_TIMESTAMPS = ("created_at", "completed_at", "estimated_completion")
# The one message of msgspec that quotes what it refuses, up to the path.
_VALUE = re.compile(r"^Invalid enum value .*?(?= - at `[^`]*`$|$)", re.DOTALL)
# Parts of undocumented shape are kept to the letter, nulls included.
_NOT_OURS = {Revision.A: frozenset({"compliance", "error"}), Revision.B: frozenset({"keywords", "flags"})}


def _repair(plain: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Drop nulls and read odd timestamps, so that drift costs a field at most and never an analysis."""
    try:
        plain = _without_nulls(plain, kept)
    except RecursionError:
        raise WrongShapeError("nested too deeply") from None
    # A field of our own value that no revision sends: if one ever arrives, it is an unknown field.
    plain.pop("report", None)
    explanation = plain.get("error")
    if isinstance(explanation, dict) and not isinstance(explanation.get("message"), str | None):
        explanation.pop("message")  # an explanation we cannot read must not cost the verdict
    elif not isinstance(explanation, str | dict):
        plain.pop("error", None)
    for name in _TIMESTAMPS:
        if name in plain:
            plain[name] = _read_timestamp(plain[name])
    results = plain.get("results")
    items = results.get("action_items") if isinstance(results, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and "due_date" in item:
            moment = _read_timestamp(item["due_date"])
            item["due_date"] = moment.date() if moment is not None else None
    return plain


def _without_nulls(value: Any, kept: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: part if key in kept else _without_nulls(part, kept) for key, part in value.items() if part is not None
        }
    if isinstance(value, list):
        return [_without_nulls(part, kept) for part in value if part is not None]
    return value


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
