"""The one place that decodes an analysis, in either revision. How a body is read at all: `reading`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kallglot_async._core.ids import Revision
from kallglot_async._core.reading import UNREADABLE, MalformedBodyError, Reader, WrongShapeError, decode_json_object
from kallglot_async.models import Analysis, AnalysisStatus, Compliance, PartySentiment, Performance, Report
from kallglot_async.models._base import JSONValue, Timestamp

__all__ = ["MalformedBodyError", "WrongShapeError", "decode_analysis", "decode_json_object"]


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


def _mend(plain: dict[str, Any]) -> None:
    """Free an analysis of what must not cost its verdict."""
    # A field of our own value that no revision sends: if one ever arrives, it is an unknown field.
    plain.pop("report", None)
    explanation = plain.get("error")
    if isinstance(explanation, dict) and not isinstance(explanation.get("message"), str | None):
        explanation.pop("message")  # an explanation we cannot read must not cost the verdict
    elif not isinstance(explanation, str | dict):
        plain.pop("error", None)


_NO_PARTS = Report()
_A = Revision.A
_MOMENTS = frozenset({"created_at", "completed_at", "estimated_completion"})
_DATES = frozenset({"due_date"})
_reader_a = Reader(Analysis, moments=_MOMENTS, dates=_DATES, kept=frozenset({"compliance", "error"}), mend=_mend)
_reader_b = Reader(_AnalysisB, moments=_MOMENTS, dates=_DATES, kept=frozenset({"keywords", "flags"}), mend=_mend)


def decode_analysis(body: bytes, revision: Revision) -> Analysis:
    """Return the analysis in `body`.

    Raises:
        MalformedBodyError: It is not JSON.
        WrongShapeError: A required field is missing, or a field has a type it never has.
    """
    try:
        if revision is _A:
            analysis = _reader_a.strictly(body)
            if analysis.report is None:
                return analysis
            return msgspec.structs.replace(analysis, report=None)  # ours alone: from a server, an unknown field
        return _lift(_reader_b.strictly(body))
    except UNREADABLE:
        pass
    # Outside the handler: what msgspec raised may quote the body, and is no context of ours.
    return _reader_a.leniently(body) if revision is _A else _lift(_reader_b.leniently(body))
